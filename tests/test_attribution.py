"""An attribution knows what it is of; it can be shown, saved, compared, certified and checked."""
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from small_models import random_image, small_classifier

import xai_repro as xr
from xai_repro.explain.methods import METHODS
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.segmentation import grid

IMAGE = random_image()
SEGMENTS = grid(IMAGE, 8)


def of_image(method="glime", **options):
    instance = image_instance(small_classifier(), IMAGE, SEGMENTS, target=1)
    return xr.explain(instance, method, **options)


def share_of_good(texts):
    share = np.array([text.split().count("good")/4 for text in texts])
    return np.stack([share, 1 - share], 1)


def of_text():
    return xr.explain(xr.text("a good <b> film & a good end", share_of_good, target=0))


def sum_of_row(rows): return np.asarray(rows, float).sum(1)


def of_table():
    background = np.random.default_rng(0).normal(size=(20, 3))
    return xr.explain(xr.tabular(np.ones(3), sum_of_row, background=background, target=0))


def loudness(waves):
    level = waves.abs().mean(1)
    return torch.stack([level, 1 - level], 1)


def of_sound():
    wave = np.sin(np.arange(4000)/3).astype(np.float32)
    return xr.explain(xr.audio(wave, loudness, target=0), n_samples=64)


MAKERS = [of_image, of_text, of_table, of_sound]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_saved_comes_back(make, tmp_path):
    attribution = make()
    path = tmp_path/"new"/"attribution"
    attribution.save(path)
    loaded = xr.load(path)
    assert loaded == attribution
    assert np.array_equal(loaded.scores, attribution.scores)
    assert loaded.to_frame().equals(attribution.to_frame())
    assert (loaded.kind, loaded.class_name) == (attribution.kind, attribution.class_name)
    for name in ("picture", "segments"):
        mine, other = getattr(attribution, name), getattr(loaded, name)
        assert (mine is None and other is None) or np.array_equal(mine, other)


@pytest.mark.parametrize("make", MAKERS)
def test_pickled_it_has_no_model(make):
    attribution = make()
    back = pickle.loads(pickle.dumps(attribution))
    assert back == attribution and hash(back) == hash(attribution)
    assert back.instance is None
    for ask in (lambda: back.certify(2), back.check):
        with pytest.raises(ValueError, match=r"has no model.*allowed: one that was just made"):
            ask()


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_shown_without_moving_the_state_of_pyplot(make):
    import matplotlib.pyplot as plt
    before = plt.get_fignums(), dict(plt.rcParams)
    attribution = make()
    figure = attribution.plot()
    assert isinstance(figure, Figure)
    assert f"class {attribution.target}" in figure.axes[0].get_title() or attribution.class_name
    page = attribution._repr_html_()
    assert page.count("<img") == 1 and "<b>" not in page
    assert (plt.get_fignums(), dict(plt.rcParams)) == before


def test_the_kinds_are_shown_as_what_they_are():
    image = of_image()
    assert image.kind == "image" and image.picture.dtype == np.uint8
    assert image.class_name == small_classifier().class_names[1]
    assert np.array_equal(image.segments, SEGMENTS.numpy())
    heat = image.plot().axes[0].get_images()[1].get_array()
    assert np.array_equal(heat, image.scores[image.segments]), "each pixel has its segment's score"
    words = {text.get_text() for text in of_text().plot().axes[0].texts}
    assert {"good", "<b>", "film"} <= words
    widths = [bar.get_width() for bar in of_table().plot().axes[0].patches]
    assert sorted(widths) == sorted(of_table().scores.tolist())
    assert of_sound().segments.shape == of_sound().picture.shape


def test_a_frame_ranks_the_features():
    frame = of_table().to_frame()
    assert frame.columns.tolist() == ["feature", "score", "rank"]
    by_rank = frame.sort_values("rank").score.tolist()
    assert by_rank == sorted(frame.score, reverse=True)
    assert sorted(frame["rank"]) == [0, 1, 2]


def test_attributions_are_equal_where_everything_is():
    assert of_image() == of_image()
    assert of_image() != of_image(seed=1)
    assert of_image() != of_image(sigma=3.)
    assert of_image() != 3


def test_jupyter_shows_its_figure_without_pyplot():
    """Which is what tells Jupyter how to show a figure."""
    pytest.importorskip("IPython")
    code = ("import numpy as np, sys; from IPython.core.formatters import DisplayFormatter; "
            "from xai_repro.explain.attribution import Attribution; "
            "a = Attribution(np.array([1., 2.]), 'lime', 0, 1); "
            "shown, _ = DisplayFormatter().format(a.plot()); "
            "print(shown['image/png'][:4], 'matplotlib.pyplot' in sys.modules)")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[-2] == r"b'\x89PNG' False"
    figure = pickle.loads(pickle.dumps(of_image().plot()))
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_it_is_certified_and_checked_as_the_front_does():
    instance = image_instance(small_classifier(), IMAGE, SEGMENTS, target=1)
    attribution = xr.explain(instance, "glime", 100)
    expected = xr.certify(instance, attribution, 2, seed=3)
    assert attribution.certify(2, seed=3).rate == expected.rate
    check = attribution.check(n_seeds=3)
    assert (check.n_seeds, check.k) == (3, attribution.d//4)
    assert 0 <= check.chance < check.agreement <= 1
    unseeded = of_image("occlusion").check()
    assert (unseeded.agreement, unseeded.n_seeds) == (1.0, 1)
    with pytest.raises(ValueError, match="n_seeds is 1"): attribution.check(1)
    with pytest.raises(ValueError, match="k is 99"): attribution.check(2, 99)


def test_it_holds_no_memory_of_the_model():
    instance = image_instance(small_classifier(), IMAGE, SEGMENTS, target=1)
    attribution = xr.explain(instance, "occlusion")
    assert attribution.instance.n_queries == 0
    assert attribution.instance.identity == instance.identity


def test_options_that_are_functions_are_kept_in_words(tmp_path):
    def encode(masks): return masks.astype(float)
    attribution = xr.explain(xr.function(lambda m: m.sum(1)*1., 5), "alime", encode=encode)
    attribution.save(tmp_path/"a.npz")
    loaded = xr.load(tmp_path/"a.npz")
    assert "encode" in loaded.options["encode"] and loaded == attribution


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken", None])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path/"a.npz"
    of_table().save(path)
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(ValueError, match=r"a\.npz is damaged, or no saved attribution"):
        xr.load(path)


def test_another_file_and_none_are_refused(tmp_path):
    np.savez(tmp_path/"other.npz", scores=np.zeros(3))
    with pytest.raises(ValueError, match="no saved attribution"): xr.load(tmp_path/"other.npz")
    with pytest.raises(FileNotFoundError, match="where there is no file"): xr.load(tmp_path/"x")


def test_every_method_says_what_it_is_of():
    instance = image_instance(small_classifier(), IMAGE, SEGMENTS, target=2)
    for name in ("lime", "saliency", "lima", "random"):
        attribution = METHODS[name](instance, target=0)
        assert (attribution.target, attribution.method) == (0, name)
        assert attribution.class_name == small_classifier().class_names[0]
        assert attribution.instance.target == 0
