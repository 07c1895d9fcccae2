"""Default settings explain, whatever the number of features is; the papers' are presets."""
import warnings

import numpy as np
import pytest
import torch

import xai_repro as xr
from xai_repro.explain import distributions, lfa
from xai_repro.inputs.segmentation import grid
from xai_repro.value import MaskFunction

WIDTHS = [2, 3, 5, 9, 16, 30, 49, 64, 100, 200, 400, 1000]
SURROGATES = ["lime", "glime", "kernel_shap", "alime"]


def slopes(d):
    """A slope for each feature; neighbours differ in sign."""
    return np.random.default_rng(d).normal(size=d)/np.sqrt(d)


def additive(d):
    """A value function that is linear in the mask."""
    weights = slopes(d)
    return MaskFunction(lambda masks: masks @ weights, d)


def explained(value, method):
    """A default explanation, which must not warn."""
    options = dict(encode=lambda masks: masks.astype(float)) if method == "alime" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.explain(value, method, target=0, **options)


@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize("method", [lfa.lime, lfa.glime])
def test_the_fit_and_the_sample_size_stay_useful(method, d):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = method(additive(d), 0)
    assert explanation.r2 > .95
    assert explanation.effective_sample_size > .7*explanation.n_samples
    assert explanation.total_weight > .3*explanation.n_samples
    if d > 400: return      # more features than half of the samples: the ridge decides
    assert np.corrcoef(explanation.weights, slopes(d))[0, 1] > .95


@pytest.mark.parametrize("d", WIDTHS[:-1])
@pytest.mark.parametrize("method", SURROGATES)
def test_every_method_with_a_surrogate(method, d):
    instance = xr.function(lambda masks: masks @ slopes(d), d)
    attribution = explained(instance, method)
    assert attribution.r2 > .3
    assert attribution.n_queries > 1


def brightness(images):
    """Two scores that are linear in the pixels."""
    left = images[..., :16].mean((1, 2, 3))
    return torch.stack([left, 1 - left], 1)


def good_words(texts):
    """Two scores: the share of words that are good."""
    share = np.array([text.split().count("good")/8 for text in texts])
    return np.stack([share, 1 - share], 1)


def linear_rows(rows):
    """One score of rows."""
    return np.asarray(rows, float) @ np.arange(1., 9.)


@pytest.mark.parametrize("method", SURROGATES[:3])
def test_images_texts_and_tables(method):
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    background = np.random.default_rng(0).normal(size=(50, 8))
    row = np.linspace(1, 2, 8)
    instances = [
        xr.image(image, brightness, segmentation=grid(image, 8), target=0),
        xr.text("a good film and a good end", good_words, target=0),
        xr.tabular(row, linear_rows, background=background, target=0)]
    for instance in instances:
        assert explained(instance, method).r2 > .3


def test_at_the_default_width_both_answer_one_question():
    """LIME's weighted masks and GLIME's drawn ones have one exact solution."""
    value = additive(4)
    sigma = lfa.default_sigma(value)
    assert sigma == 2
    exact = lfa.explain(value, 0, distributions.exhaustive(distributions.exponential(sigma)), 0.)
    for method in (lfa.lime, lfa.glime):
        found = method(value, 0, 4000, alpha=1e-9).weights
        assert np.allclose(found, exact.weights, atol=1e-6), "linear: reached without noise"


@pytest.mark.parametrize("method, preset, settings", [
    (lfa.lime, "paper", dict(sigma=.25)),
    (lfa.lime, "released", dict(sigma=.25, kernel="official", original_first=True)),
    (lfa.lime, "package", dict(sigma=.25, distance="cosine", original_first=True)),
    (lfa.glime, "paper", dict(sigma=.25)),
    (lfa.glime, "released", dict(sigma=.25, exclude_full=True, original_first=True)),
])
@pytest.mark.filterwarnings("ignore")
def test_a_preset_is_its_settings_and_gives_way(method, preset, settings):
    value = additive(6)
    by_name = method(value, 0, 200, preset=preset, seed=3)
    assert np.array_equal(by_name.weights, method(value, 0, 200, seed=3, **settings).weights)
    wider = method(value, 0, 200, preset=preset, sigma=2., seed=3)
    given = method(value, 0, 200, seed=3, **settings | dict(sigma=2.))
    assert np.array_equal(wider.weights, given.weights)
    assert not np.array_equal(wider.weights, by_name.weights)


@pytest.mark.parametrize("method", [lfa.lime, lfa.glime])
def test_another_preset_is_refused(method):
    with pytest.raises(ValueError, match="preset is 'papers'; allowed: paper, released"):
        method(additive(4), 0, preset="papers")


def test_the_papers_width_is_said_to_explain_nothing():
    with pytest.warns(lfa.DegenerateFit, match="all weights vanish"):
        explanation = lfa.lime(additive(30), 0, preset="paper")
    assert np.abs(explanation.weights).max() < 1e-9
