"Baselines against captum, enumeration and their definitions."
import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from dataclasses import replace

from xai_repro.explain import methods as attributions, baselines
from xai_repro.inputs import segmentation as features
from xai_repro.zoo import models
from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.explain.methods import ATTRIBUTIONS, TRANSFORMERS, of_image
from xai_repro.value import MaskFunction


@pytest.fixture(scope="module")
def lite(): return models.load("efficientnet_lite0", "cpu")


@pytest.fixture(scope="module")
def photo(): return embedded_photographs()["chelsea"]


@pytest.fixture(scope="module")
def regions(photo): return features.slico(photo, 12)


@pytest.fixture(scope="module")
def target(lite, photo): return int(lite.predict(photo[None]).argmax())


QUICK = {"integrated_gradients": dict(steps=4), "mfaba": dict(most=2), "scorecam": dict(layer="blocks.0"), **{m: dict(draws=3) for m in ("smoothgrad", "squaregrad", "vargrad")}}


@pytest.mark.parametrize("method", [m for m in ATTRIBUTIONS if m not in TRANSFORMERS])
def test_every_method_scores_every_region(method, lite, photo, regions, target):
    n = dict(n_samples=2 if method == "sobol" else 20) if ATTRIBUTIONS[method].needs == "value" else {}
    scores = baselines.attribute(method, lite, photo, regions, target, **n, **QUICK.get(method, {}))
    assert scores.dtype == np.float64 and scores.shape == (int(regions.max()) + 1,) and np.ptp(scores) > 0
    assert np.allclose(scores, baselines.attribute(method, lite, photo, regions, target, **n, **QUICK.get(method, {})), rtol=1e-3, atol=1e-7), "the same seed, the same scores"


# by masks

SINE = MaskFunction(lambda m: np.sin(m @ [1., .5, 2., 0.]) + 2, 4)
ALL = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)


def ask(method, n_samples, value=SINE, seed=0): return attributions.attribute(method, 0, value, n_samples=n_samples, seed=seed)


def test_rise_is_the_mean_over_masks_with_the_feature():
    y = SINE(ALL)[:, 0]
    assert np.allclose(ask("rise", 40_000), [y[ALL[:, i]].mean() for i in range(4)], atol=.03)


def test_sobol_is_the_share_of_the_variance_that_a_feature_is_part_of():
    y = SINE(ALL)[:, 0]
    exact = [np.mean([(y[k] - y[k ^ 1 << i])**2 for k in range(16)])/4/y.var() for i in range(4)]
    assert np.allclose(ask("sobol", 2**13), exact, atol=.01) and exact[3] == 0


def test_sobol_tells_all_features_of_a_large_sum_apart():
    "A flipped feature changes a sum by its contribution whatever the rest, so the indices are in proportion to its square from the first design on."
    contributions = np.random.default_rng(0).permutation(49) + 1.
    found = ask("sobol", 3, MaskFunction(lambda m: m @ contributions, 49))
    assert np.allclose(found/found.sum(), contributions**2/(contributions**2).sum(), rtol=1e-4)


def test_hsic_is_the_trace_with_the_kernels_written_out():
    from xai_repro.explain.distributions import uniform
    Z = uniform(weighting=False).sample(60, 4, 0)
    y = SINE(Z)[:, 0].astype(float)
    apart = np.abs(y[:, None] - y)
    L = np.exp(-apart**2/(2*np.median(apart[np.triu_indices(60, 1)])**2))
    H = np.eye(60) - 1/60
    expected = [np.trace((Z[:, i, None] == Z[:, i]).astype(float) @ H @ L @ H)/59**2 for i in range(4)]
    assert np.allclose(ask("hsic", 60), expected)
    assert ask("hsic", 2000)[3] < .1*ask("hsic", 2000)[:3].min(), "what the score does not depend on"


def test_occlusion_leaves_one_out():
    assert np.allclose(ask("occlusion", 1), [float(SINE(np.ones((1, 4), bool))[0, 0] - SINE((np.arange(4) != i)[None])[0, 0]) for i in range(4)])


def test_rise_hsic_and_lime_ask_the_same_masks():
    value = MaskFunction(lambda m: np.sin(m @ np.arange(12.)), 12)
    ask("rise", 300, value); asked = value.n_queries
    ask("hsic", 200, value); assert value.n_queries == asked
    ask("lime", 300, value); assert value.n_queries <= asked + 1, "the whole input is its first"


# by gradients

def test_class_activation_maps_are_captums(lite, photo, regions, target):
    view = of_image(lite, photo, regions, 0.)
    assert attributions.last_maps(view) in ("bn2", "bn2.act")
    theirs = LayerGradCam(lite.logits, lite.network.blocks).attribute(photo[None].clone().requires_grad_(), target=target, relu_attributions=True)
    theirs = LayerAttribution.interpolate(theirs, (224, 224), "bilinear")[0].detach()
    assert np.allclose(attributions.attribute("gradcam", target, view=view, layer="blocks"), view.pool(theirs.expand(3, -1, -1)), rtol=1e-3, atol=1e-6)


def test_score_cam_by_its_definition(lite, photo, regions, target):
    "Channels brought to the image's size and to [0, 1], each weighted by the softmax over channels of the score of the image seen through it."
    small = replace(lite, network=torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(5)).eval())
    torch.manual_seed(0)
    small.logits(photo[None])
    view = of_image(small, photo, regions, 0.)
    with torch.no_grad():
        maps = torch.relu(small.network[0](small.preprocessing(photo[None])))
        big = torch.nn.functional.interpolate(maps, (224, 224), mode="bilinear", align_corners=False)[0]
        seen = (big - big.amin((1, 2), True))/(big.amax((1, 2), True) - big.amin((1, 2), True)).clamp_min(1e-8)
        weight = (small.logits(photo*seen[:, None])[:, 2] - small.logits(torch.zeros(1, 3, 224, 224))[0, 2]).softmax(0)
        expected = torch.relu((weight[:, None, None]*maps[0]).sum(0))
        expected = torch.nn.functional.interpolate(expected[None, None], (224, 224), mode="bilinear", align_corners=False)[0]
    found = attributions.attribute("scorecam", 2, view=view, layer="1")
    assert np.corrcoef(found, view.pool(expected.expand(3, -1, -1)))[0, 1] > .999


def test_noise_of_none_is_the_gradient(lite, photo, regions, target):
    near = baselines.attribute("smoothgrad", lite, photo.clamp(.01, .99), regions, target, sigma=1e-7, draws=2)
    assert np.allclose(near, baselines.attribute("saliency", lite, photo.clamp(.01, .99), regions, target), rtol=1e-2)
    assert baselines.attribute("vargrad", lite, photo.clamp(.01, .99), regions, target, sigma=1e-7, draws=2).max() < 1e-6*near.max()


def test_gradient_x_input_of_a_linear_network_is_its_terms(lite, photo, regions):
    torch.manual_seed(1)
    linear = replace(lite, network=torch.nn.Sequential(torch.nn.AvgPool2d(224), torch.nn.Flatten(), torch.nn.Linear(3, 2)).eval())
    view = of_image(linear, photo, regions, 0.)
    scores, weights = attributions.attribute("gradient_x_input", 1, view=view), linear.network[2].weight[1].detach()
    terms = photo*(weights/torch.tensor(linear.preprocessing.std)/224**2)[:, None, None]
    assert np.allclose(scores, view.pool(terms), rtol=1e-3)


# bad input

class NoGradient:
    size, network = 224, None
    @staticmethod
    def predict(images): return torch.full((len(images), 2), .5)


@pytest.mark.parametrize("method", ["saliency", "gradcam", "integrated_gradients"])
def test_a_gradient_method_needs_gradients(method, photo, regions, lite):
    frozen = replace(lite, network=lambda x: lite.network(x).detach())
    for classifier in (NoGradient(), models.load("efficientnet_lite0", "cpu", compile=True), frozen):
        with pytest.raises(ValueError, match="classifier gives scores without a gradient; allowed"): baselines.attribute(method, classifier, photo, regions, 0)


def test_bad_input(lite, photo, regions):
    with pytest.raises(ValueError, match="method is 'grad-cam'; allowed: lime, kernel_shap.*gradcam"): baselines.attribute("grad-cam", lite, photo, regions, 0)
    for n in (0, 2.5):
        with pytest.raises(ValueError, match=f"n_samples is {n}; allowed: a whole number of at least 1"): ask("sobol", n)
    flat = MaskFunction(lambda m: np.ones(len(m)), 3)
    for method, n in (("hsic", 20), ("sobol", 4)):
        with pytest.raises(ValueError, match="value gives 1 for .*allowed: a value function that varies"): ask(method, n, flat)
    with pytest.raises(ValueError, match="layer is 'conv9'; allowed: .*blocks"): baselines.attribute("gradcam", lite, photo, regions, 0, layer="conv9")
    with pytest.raises(ValueError, match="no layer of which gives a map"): attributions.last_maps(of_image(replace(lite, network=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3*224**2, 2))), photo, regions))
