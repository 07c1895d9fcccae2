"""The names that modules had before the sub-packages go on working, and say where they are now."""
import importlib
import inspect
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import random_image, small_classifier

import xai_repro as xr
import xai_repro.api
from xai_repro import _aliases
from xai_repro.explain.methods import METHODS, explain
from xai_repro.inputs.image import image_instance, of_image
from xai_repro.inputs.removal import Constant
from xai_repro.inputs.segmentation import grid
from xai_repro.value import MaskFunction

warnings.simplefilter("ignore", DeprecationWarning)


@pytest.mark.parametrize("old", _aliases.MODULES)
def test_an_old_module_is_imported_with_a_warning_that_names_the_new_one(old):
    name = f"xai_repro.{old}"
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning) as caught:
        importlib.import_module(name)
    message = str(caught[0].message)
    assert message.startswith(f"{name} is now xai_repro.")
    assert "_compat" not in message


@pytest.mark.parametrize("old", _aliases.MODULES)
def test_the_new_modules_are_there(old):
    for target in _aliases.MODULES[old]:
        importlib.import_module(f"xai_repro.{target}")


# what was public before the sub-packages, as module.name
OLD = (Path(__file__).parent/"old_names.txt").read_text().split()
GONE = {      # with the memory of attributions, and with the second table of methods
    "existing.captum_once", "subsets.lima_once", "faithfulness.highest_confidence",
    "faithfulness.measure_once", "heatmaps.Subject",
    "judges.Case", "judges.Explained", "judges.GRADIENT", "judges.Row", "judges.explained",
    "judges.judged"}


def test_every_old_module_is_listed():
    assert {name.split(".")[0] for name in OLD} == set(_aliases.MODULES)
    assert GONE < set(OLD)


@pytest.mark.parametrize("old", _aliases.MODULES)
def test_old_names_are_there(old):
    module = importlib.import_module(f"xai_repro.{old}")
    names = [name for name in OLD if name.startswith(f"{old}.") and name not in GONE]
    missing = [name for name in names if not hasattr(module, name.split(".")[1])]
    assert not missing


RENAMED = [(old, name, new) for old, names in _aliases.NAMES.items() for name, new in names.items()]


@pytest.mark.parametrize("old, name, new", RENAMED)
def test_a_renamed_name_is_the_new_one(old, name, new):
    module = importlib.import_module(f"xai_repro.{old}")
    targets = [importlib.import_module(f"xai_repro.{t}") for t in _aliases.MODULES[old]]
    holder = next(target for target in targets if hasattr(target, new))
    assert getattr(module, name) is getattr(holder, new)
    assert f"{old}.{name}" in OLD


def test_names_of_old_modules_are_the_objects_of_the_new_ones():
    from xai_repro import lfa as old
    from xai_repro.explain import lfa as new
    from xai_repro.lfa import glime
    assert glime is new.glime
    assert old.METHODS is new.TABLE_1


def test_a_name_that_there_never_was_is_refused():
    lfa = importlib.import_module("xai_repro.lfa")
    with pytest.raises(AttributeError, match=r"module 'xai_repro\.lfa' has no attribute 'limes'"):
        lfa.limes      # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("xai_repro.lfas")


def test_a_module_with_the_name_of_a_function_of_the_front_is_called_as_it():
    for old in _aliases.FRONT: importlib.import_module(f"xai_repro.{old}")
    instance = xr.tabular([1., 2.], lambda rows: rows.sum(1))
    assert explain(instance, "occlusion").scores.tolist() == [1, 2]
    instance = xr.text("a good film", lambda texts: np.array([[len(t)] for t in texts]))
    assert instance.d == 3
    others = [old for old in _aliases.MODULES if hasattr(xai_repro.api, old)]
    assert others == list(_aliases.FRONT)


def test_a_function_of_the_front_is_the_old_module_too():
    from xai_repro import tabular, text
    from xai_repro.zoo.tabular import make_table
    from xai_repro.zoo.text import load_text
    assert text.load_text is load_text
    assert tabular.make_table is make_table
    assert inspect.signature(text) == inspect.signature(xai_repro.api.text)
    assert pickle.loads(pickle.dumps(text))("a film", lambda texts: np.ones((len(texts), 1))).d == 2
    assert "tokens are the features" in text.__doc__
    with pytest.raises(AttributeError, match="no attribute 'load_texts'"):
        text.load_texts      # noqa: B018


def test_the_finder_is_installed_once():
    _aliases.install()
    finders = [f for f in sys.meta_path if isinstance(f, _aliases._AliasFinder)]
    assert len(finders) == 1


FRESH = """
import warnings
warnings.simplefilter("error")
try:
    from xai_repro.lfa import lime
except DeprecationWarning as warning:
    print(warning)
"""


def test_the_warning_reaches_a_user():
    ran = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "xai_repro.lfa is now xai_repro.explain.lfa"


# functions that are gone are made of what there is

IMAGE = random_image()
TILES = grid(IMAGE, 16)
MODEL = small_classifier()
W = np.array([.1, -.2, .3, 0., .15, .05])


def two_classes(masks):
    y = masks @ W
    return np.stack([y, 1 - y], 1)


def old_attribute(*args, **options):
    from xai_repro import attributions
    return attributions.attribute(*args, **options)


@pytest.mark.parametrize("method, new, options", [
    ("lime", "lime", dict(distance="cosine", original_first=True)),
    ("glime_binomial", "glime", dict(sigma=1.)),
    ("kernel_shap", "kernel_shap", {}),
    ("random", "random", {})])
def test_attribute_is_the_row_of_the_table_with_the_defaults_that_it_had(method, new, options):
    value = MaskFunction(two_classes, 6)
    n = None if method == "random" else 200
    scores = old_attribute(method, 0, value, n_samples=n, seed=3)
    expected = METHODS[new](as_instance(value), n, 3, **options).scores
    assert np.array_equal(scores, expected)


def as_instance(value):
    from xai_repro.inputs.instance import Instance
    return Instance(value, 0, "unnamed")


@pytest.mark.parametrize("method, old, options", [
    ("integrated_gradients", dict(steps=8), {}),
    ("smoothgrad", dict(draws=4), dict(sigma=.15, absolute=True)),
    ("vargrad", dict(draws=4, sigma=.2), dict(sigma=.2)),
    ("saliency", {}, {})])
def test_steps_and_draws_are_samples(method, old, options):
    view = of_image(MODEL, IMAGE, TILES, 0.)
    scores = old_attribute(method, 1, view=view, **old)
    instance = image_instance(MODEL, IMAGE, TILES, target=1, baseline=0.)
    n = old.get("steps", old.get("draws"))
    assert np.array_equal(scores, explain(instance, method, n, **options).scores)


def test_a_view_is_enough_for_a_random_ranking():
    assert len(old_attribute("random", 0, view=of_image(MODEL, IMAGE, TILES))) == 4


@pytest.mark.parametrize("method", ["occlusion", "saliency"])
def test_the_baselines_of_an_image(method):
    from xai_repro import baselines
    scores = baselines.attribute(method, MODEL, IMAGE, TILES, 2)
    instance = image_instance(MODEL, IMAGE, TILES, Constant(), 2, baseline=0.)
    assert np.array_equal(scores, explain(instance, method).scores)


@pytest.mark.parametrize("call, words", [
    (lambda: old_attribute("grad-cam", 0), ["method", "gradcam", "lime"]),
    (lambda: old_attribute("lime", 0), ["value is None", "MaskedModel"]),
    (lambda: old_attribute("mfaba", 0), ["view is None", "of_image"]),
    (lambda: old_attribute("random", 0), ["value and view are None"])])
def test_what_a_method_needs_is_named(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)


def test_the_store_of_arrays_goes_on(tmp_path):
    from xai_repro.store import Store
    store = Store(tmp_path)
    calls = []

    def compute():
        calls.append(1)
        return dict(x=np.arange(3.))

    first = store.get("ab12", compute)
    again = store.get("ab12", compute)
    assert np.array_equal(first["x"], again["x"])
    assert len(calls) == 1
    assert "ab12" in store


def test_a_masked_model_of_the_old_module_is_the_new_one():
    from xai_repro.masked import MaskedModel
    value = MaskedModel(MODEL.predict, IMAGE, TILES)
    whole = torch.ones(1, 4, dtype=torch.bool)
    assert np.allclose(value(whole), MODEL.predict(IMAGE[None]), atol=1e-6)
