"""One table of methods: every door gives the same vector, and no result outlives the code."""
import functools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import xai_repro as xr
from xai_repro.cache import Cache
from xai_repro.explain import distributions, gradients, lfa, subsets
from xai_repro.explain.methods import METHODS, TRANSFORMERS, Method, explain
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.removal import Constant
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.tabular import tabular_instance
from xai_repro.zoo import models

warnings.simplefilter("ignore", lfa.DegenerateFit)
IMAGE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(3))
FEW = {name: 24 for name, row in METHODS.items() if row.n_samples is not None}
OPTIONS = {"alime": dict(encode=lambda masks: masks, sigma=2.), "glime": dict(sigma=1.),
           "lime": dict(sigma=2.), "gradcam": dict(layer="0"), "gradcam_pp": dict(layer="0"),
           "scorecam": dict(layer="0"), "mfaba": dict(most=3)}
OF_MASKS = [name for name, row in METHODS.items() if row.needs == "masks"]


class Counting:
    """A small convolutional classifier that counts the images that it is asked for."""

    size, class_names, device = 32, ("a", "b", "c"), torch.device("cpu")

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 5), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(196, 3))
        for parameter in self.network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)*.3
            parameter.requires_grad_(False)
        self.n = 0

    def identity(self): return "counting", 1

    def logits(self, images):
        self.n += len(images)
        return self.network(images)

    @torch.no_grad()
    def predict(self, images): return self.logits(images).softmax(1)


def picture(cache=None):
    model = Counting()
    return image_instance(model, IMAGE, grid(IMAGE, 8), Constant(), cache=cache), model


@functools.cache
def transformer():
    classifier = models.load("vit_tiny101_s", "cpu")
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, classifier.size, classifier.size, generator=generator)
    return image_instance(classifier, image, grid(image, 16))


def instance_for(name, cache=None):
    return transformer() if name in TRANSFORMERS else picture(cache)[0]


def scores_by(name, instance, seed=1):
    return explain(instance, name, FEW.get(name), seed, **OPTIONS.get(name, {})).scores


@pytest.mark.parametrize("name", METHODS)
def test_every_method_scores_an_instance(name):
    instance = instance_for(name)
    found = explain(instance, name, FEW.get(name), 1, **OPTIONS.get(name, {}))
    assert found.scores.shape == (instance.d,) and np.isfinite(found.scores).all()
    assert found.method == name and found.target == instance.target
    assert np.array_equal(np.sort(found.ranking()), np.arange(instance.d))
    again = scores_by(name, instance_for(name))
    assert np.array_equal(found.scores, again), "the same seed gives the same scores"


@pytest.mark.parametrize("name", METHODS)
def test_a_fault_changes_the_numbers_with_a_warm_cache(name, monkeypatch, tmp_path):
    cache = Cache(tmp_path)
    before = scores_by(name, instance_for(name, cache))
    row = METHODS[name]

    @functools.wraps(row.function)
    def worst(*args, **kwargs): return -best_scores(row.function(*args, **kwargs))

    monkeypatch.setitem(METHODS, name, replace(row, function=worst))
    assert np.array_equal(scores_by(name, instance_for(name, cache)), -before)


def best_scores(result):
    for name in ("weights", "importance"):
        if hasattr(result, name): return getattr(result, name)
    return result


def test_a_fault_in_lima_s_search_changes_its_order_with_a_warm_cache(monkeypatch, tmp_path):
    first = explain(picture(Cache(tmp_path))[0], "lima").ranking()
    search = subsets.SEARCHES["bidirectional"]

    def worst_first(F, d, n_pending): return search(F, d, n_pending)[::-1]

    monkeypatch.setitem(subsets.SEARCHES, "bidirectional", worst_first)
    assert np.array_equal(explain(picture(Cache(tmp_path))[0], "lima").ranking(), first[::-1])


@pytest.mark.parametrize("name", OF_MASKS)
def test_a_second_run_on_a_warm_cache_makes_no_forward_pass(name, tmp_path):
    first, model = picture(Cache(tmp_path))
    cold = explain(first, name, FEW.get(name), 1, **OPTIONS.get(name, {}))
    passes = model.n
    second, other = picture(Cache(tmp_path))
    warm = explain(second, name, FEW.get(name), 1, **OPTIONS.get(name, {}))
    assert np.array_equal(cold.scores, warm.scores)
    assert (other.n, warm.n_queries) == (0, cold.n_queries)
    assert passes == first.n_passes


# every door

def bent(masks):
    return np.stack([np.tanh(masks @ np.arange(1., 9.)/8), masks[:, 0]], 1)


VALUE = xr.function(bent, 8, target=0)
SHAP = distributions.kernel_shap()
DOORS = {
    "lime": lambda n, s: lfa.lime(VALUE, 0, n, 1., seed=s).weights,
    "glime": lambda n, s: lfa.glime(VALUE, 0, n, 1., seed=s).weights,
    "kernel_shap": lambda n, s: lfa.explain(VALUE, 0, SHAP, 0., n, s).weights,
}


@pytest.mark.parametrize("name", DOORS)
def test_every_door_gives_the_same_vector(name):
    options = {} if name == "kernel_shap" else dict(sigma=1.)
    through = {
        "xr.explain": xr.explain(VALUE, name, 200, 3, **options).scores,
        "methods.explain": explain(VALUE, name, 200, 3, **options).scores,
        "the row": METHODS[name](VALUE, 200, 3, **options).scores,
        "xr.METHODS": xr.METHODS[name](VALUE, 200, 3, **options).scores,
        "lfa": DOORS[name](200, 3),
        "the value function": METHODS[name].function(
            VALUE.value, 0, n_samples=200, seed=3, **options).weights,
    }
    first = through.pop("xr.explain")
    for door, scores in through.items(): assert np.array_equal(first, scores), door


ROW = np.array([.5, -1., 2., .25])
SMOOTH = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double().requires_grad_(False)


@pytest.mark.parametrize("name, n, options", [
    ("integrated_gradients", 30, {}), ("smoothgrad", 40, dict(sigma=.2)),
    ("vanilla_gradients", 1, {}), ("gradient_x_input", 1, {}),
    ("occlusion", 1, {}), ("kernel_shap", 60, {})])
def test_a_row_of_a_table_gets_what_lfas_table_gives(name, n, options):
    def f(rows): return SMOOTH(rows)[:, 0]
    theirs = lfa.attribute(name, f, ROW[None], n, 5, **options)[0]
    instance = tabular_instance(SMOOTH, ROW)
    row = METHODS[name]
    ours = row(instance, n if row.n_samples is not None else None, 5, **options).scores
    assert np.allclose(ours, theirs, rtol=0, atol=1e-12)


ADDED_OR_SCALED = [name for name, row in lfa.TABLE_1.items() if row.operator != "mask"]


@pytest.mark.parametrize("name", ADDED_OR_SCALED)
def test_one_algebra_for_instances_and_for_tables(name):
    row = lfa.TABLE_1[name]
    alpha = 0. if row.loss == "squared" else 1.
    instance = tabular_instance(SMOOTH, ROW)
    one = lfa.explain(instance, 0, row.distribution(), alpha, 50, 2, row.loss)
    def f(rows): return SMOOTH(rows)[:, 0]
    many = lfa.approximate(f, ROW, row.distribution(), row.loss, 50, 2)
    assert np.allclose(one.weights, many.weights, rtol=0, atol=1e-10)


def test_defaults_stand_in_signatures_alone():
    assert METHODS["lime"].options["sigma"] == "auto"
    assert METHODS["lime"].options["alpha"] == 1.
    assert METHODS["glime"].options["distribution"] == "binomial"
    assert METHODS["lima"].n_samples is None and not METHODS["lima"].seeded
    assert METHODS["rise"].n_samples == 500 and METHODS["rise"].seeded
    table = METHODS.table()
    assert list(table.index) == list(METHODS) and "sigma='auto'" in table.options["lime"]


def test_a_users_row_takes_part(monkeypatch):
    def first(value, target, *, scale=2.): return scale*np.eye(value.n_features)[0]
    monkeypatch.setitem(METHODS, "first", Method("First", "ours", first, "masks", "0"))
    assert xr.explain(VALUE, "first", scale=3.).scores.tolist() == [3.] + [0.]*7


def test_costs_are_counted():
    instance, _ = picture()
    assert explain(instance, "occlusion").n_queries == instance.d     # the whole was asked before
    assert explain(instance.fresh(), "occlusion").n_queries == instance.d + 1
    found = explain(instance, "integrated_gradients", 10)
    assert (found.n_queries, found.n_gradients, found.n_samples, found.seed) == (0, 12, 10, None)


@pytest.mark.parametrize("call, words", [
    (lambda: explain(VALUE, "limes"), ["method is 'limes'", "lime", "glime"]),
    (lambda: explain(VALUE, "lime", sigmas=2.), ["option of lime is 'sigmas'", "sigma, alpha"]),
    (lambda: explain(VALUE, "occlusion", sigma=2.), ["option of occlusion is 'sigma'", "none"]),
    (lambda: explain(VALUE, "saliency"), ["has no gradients"]),
    (lambda: explain(VALUE, "lime", target=2), ["target is 2", "from 0 to 1"]),
    (lambda: explain(VALUE, "lime", n_samples=0), ["n_samples is 0"]),
    (lambda: explain(VALUE, "lime", seed=-1), ["seed is -1"]),
    (lambda: explain(picture()[0], "saliency", target=3), ["target is 3", "from 0 to 2"]),
    (lambda: explain(picture()[0], "gradcam", layer="9"), ["layer is '9'"]),
    (lambda: explain(picture()[0], "rollout"), ["does not read a set of tokens"])])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)


def test_gradients_leave_the_global_generators_alone():
    instance, _ = picture()
    torch_state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    for name in ("smoothgrad", "squaregrad", "vargrad", "captum_lime", "captum_smoothgrad"):
        scores_by(name, instance)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_smoothgrad_is_the_mean_gradient_of_its_draws():
    instance, model = picture()
    noise = distributions.normal(.1).sample(20, IMAGE.numel(), 4).reshape(20, 3, 32, 32)
    points = (IMAGE + torch.as_tensor(noise, dtype=torch.float32)).clamp(0, 1).requires_grad_()
    mean, = torch.autograd.grad(model.network(points)[:, 1].sum()/20, points)
    expected = instance.view.pool(mean.sum(0))
    assert np.allclose(gradients.smoothgrad(instance, 1, 20, 4), expected, atol=1e-6)
    smooth = gradients.smoothgrad(instance, 1, 20, 4)
    varied = gradients.vargrad(instance, 1, 20, 4)
    assert (varied > 0).all() and not np.allclose(smooth, varied)
