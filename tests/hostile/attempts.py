"""Public functions with good arguments, and what each argument should be."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from bad_values import IMAGE, SEGMENTS, D, scores
from torch import nn

import xai_repro as xr
from xai_repro import bridges
from xai_repro.evaluate import (
    boolean,
    certificates,
    faithfulness,
    localisation,
    metrics,
    seed_stability,
    similarity,
)
from xai_repro.explain import attribution, distributions, lfa, limits, maps, subsets, surrogates
from xai_repro.inputs import image as images_of
from xai_repro.inputs import removal, segmentation
from xai_repro.value import MaskFunction
from xai_repro.workbook import claims
from xai_repro.zoo import models, photographs, tabular

IMG, SEG = IMAGE, SEGMENTS
rng = np.random.default_rng(0)
VEC, VEC2 = rng.normal(size=(2, D))
MAP1, MAP2 = rng.normal(size=(2, 64, 64))
PAIR = np.stack([VEC, VEC2])
BLOBS = np.stack([MAP1 > 0, MAP2 > 0])
TAB = rng.random(16)
ALPHA = np.arange(D) < 3
ALPHA4 = np.arange(4) < 1
ALL = np.ones((1, D), bool)
UNIT = np.eye(D, dtype=bool)
NOISE = rng.normal(size=(3, D)) * 0.01
COLUMNS = rng.random((D, 3))
ONES = np.ones(D)
ROWS, ROWS2 = rng.random((2, 4, 5))
ORDER = np.arange(D)
AREAS = np.full(D, 1 / D)
PIXELS = rng.random((48, 48))
SHARES = np.full(16, 1 / 16)
POINTS = pd.DataFrame(PAIR)
TABLE = pd.DataFrame({"file": list("abcdef"), "class_index": [0, 0, 1, 1, 2, 2]})


class Attempt(NamedTuple):
    """A function whose defaults are good arguments, and the kinds of its arguments."""

    function: Callable
    kinds: dict[str, str]


ATTEMPTS: dict[str, Attempt] = {}


def attempt(**kinds):
    """Enter a function: each named argument has a kind, whose bad values will be tried."""

    def enter(function):
        assert function.__name__ not in ATTEMPTS, function.__name__
        ATTEMPTS[function.__name__] = Attempt(function, kinds)
        return function

    return enter


def net(images):
    """Two scores of images: their mean, and one less it."""
    mean = images.mean((1, 2, 3))
    return torch.stack([mean, 1 - mean], 1)


def probabilities(masks):
    """Probabilities of two classes of masks [n, 9]."""
    share = 1 / (1 + np.exp(-(masks @ np.linspace(-1, 1, D))))
    return np.stack([share, 1 - share], 1)


VALUE = MaskFunction(scores, D)
PROBABILITIES = MaskFunction(probabilities, D)


def small_network():
    """A convolutional network of three classes."""
    layers = [
        nn.Conv2d(3, 4, 5, 2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for layer in layers:
            reset = getattr(layer, "reset_parameters", None)
            if reset is not None:
                reset()
    return nn.Sequential(*layers).eval()


GREY = (0.5, 0.5, 0.5)
CL = models.Classifier(
    "small", small_network(), models.Preprocessing(GREY, GREY), 48, list("abc"), torch.device("cpu")
)


def I(image=IMG, segments=SEG, target=0):  # noqa: E743 - an instance
    """An instance of an image."""
    return images_of.image_instance(CL, image, segments, target=target)


def sum_of_squares(X):
    """A differentiable function of rows."""
    return (X**2).sum(1)


def row_sum(X):
    """A linear function of rows."""
    return X.sum(1)


@attempt(image="image", segments="segments", batch_size="count", cache_size="count")
def masked_model(image=IMG, segments=SEG, batch_size=4, cache_size=4):
    return images_of.MaskedModel(
        net, image, segments, batch_size=batch_size, cache_size=cache_size
    )(ALL)


@attempt(masks="masks")
def masked_model_of_masks(masks=UNIT):
    return images_of.MaskedModel(net, IMG, SEG)(masks)


@attempt(noise="noise")
def masked_model_add(noise=NOISE):
    return images_of.MaskedModel(net, IMG, SEG).add(noise)


@attempt(masks="masks", target="target")
def of_class(masks=UNIT, target=1):
    return images_of.MaskedModel(net, IMG, SEG).of_class(masks, target)


@attempt(n_features="count")
def mask_function(n_features=D):
    return MaskFunction(scores, n_features)(np.ones((2, D), bool))


@attempt(
    value="value",
    target="target",
    n_samples="count",
    sigma="positive",
    alpha="real",
    seed="seed",
    kernel="choice",
    distance="choice",
)
def lime(
    value=VALUE, target=0, n_samples=64, sigma=1.0, alpha=1.0, seed=0, kernel="paper", distance="l2"
):
    return lfa.lime(
        value, target, n_samples, sigma, alpha, seed, kernel=kernel, distance=distance
    ).weights


@attempt(
    value="value",
    target="target",
    n_samples="count",
    sigma="positive",
    alpha="real",
    seed="seed",
    distribution="choice",
)
def glime(
    value=VALUE, target=0, n_samples=64, sigma=1.0, alpha=1.0, seed=0, distribution="binomial"
):
    return lfa.glime(value, target, n_samples, sigma, distribution, alpha, seed).weights


@attempt(y="vector", weights="vector?", alpha="real")
def ridge(Z=COLUMNS, y=VEC, weights=ONES, alpha=1.0):
    return surrogates.ridge(Z, y, weights, alpha).coef


@attempt(a="vector", b="vector", k="count", by="choice", ties="choice")
def jaccard(a=VEC, b=VEC2, k=3, by="signed", ties="expected"):
    return similarity.jaccard(a, b, k, by, ties)


@attempt(a="vector", b="vector")
def jaccard_curve(a=VEC, b=VEC2):
    return similarity.jaccard_curve(a, b)


@attempt(d="count", k="count")
def jaccard_by_chance(d=20, k=3):
    return similarity.jaccard_by_chance(d, k)


@attempt(a="vector", b="vector")
def mse(a=VEC, b=VEC2):
    return similarity.mse(a, b)


@attempt(a="vector", b="vector")
def pearson(a=VEC, b=VEC2):
    return similarity.pearson(a, b)


@attempt(a="vector", b="vector")
def spearman(a=VEC, b=VEC2):
    return similarity.spearman(a, b)


@attempt(a="map", b="map", data_range="positive")
def ssim(a=MAP1, b=MAP2, data_range=2.0):
    return similarity.ssim(a, b, data_range=data_range)


@attempt(a="map", b="map")
def hog_correlation(a=MAP1, b=MAP2):
    return similarity.hog_correlation(a, b)


@attempt(A="vector")
def l1_distance(A=VEC, B=VEC2):
    return similarity.l1_distance(A, B)


@attempt(A="vector")
def cosine_distance(A=VEC, B=VEC2):
    return similarity.cosine_distance(A, B)


@attempt(weights="map")
def over_pairs(weights=PAIR):
    return similarity.over_pairs(weights, similarity.mse)


@attempt(
    X="rows",
    attributions="rows",
    order="choice",
    noise="choice",
    n_draws="count",
    sigma="positive",
    seed="seed",
)
def perturbation_test(
    X=ROWS,
    attributions=ROWS2,
    order="bottom",
    noise="binary",
    n_draws=3,
    sigma=0.1,
    seed=0,
):
    return faithfulness.perturbation_test(
        row_sum, X, attributions, order, noise, None, n_draws, sigma, seed
    )


@attempt(
    scores="vector", order="choice", noise="choice", n_draws="count", sigma="positive", seed="seed"
)
def region_perturbation_test(
    scores=VEC, order="bottom", noise="gauss", n_draws=3, sigma=0.1, seed=0, regions=None
):
    return faithfulness.region_perturbation_test(
        I(), scores, order, noise, None, n_draws, sigma, seed, regions
    )


@attempt(value="value", order="order", target="target", areas="areas")
def insertion(value=VALUE, order=ORDER, target=0, areas=AREAS):
    return faithfulness.insertion(value, order, target, areas).y


@attempt(segments="segments_of_any_size")
def region_areas(segments=SEG):
    return faithfulness.region_areas(segments)


@attempt(
    value="value",
    scores="vector",
    target="target",
    n_samples="count",
    subset="share",
    seed="seed",
    sizes="choice",
    correlation="choice",
)
def mu_fidelity(
    value=VALUE,
    scores=VEC,
    target=0,
    n_samples=50,
    subset=0.2,
    seed=0,
    sizes="bernoulli",
    correlation="spearman",
):
    return faithfulness.mu_fidelity(
        value, scores, target, n_samples, subset, seed, sizes, correlation
    )


@attempt(image="image", target="target", steps="count", scores="pixels")
def pixel_curve(image=IMG, scores=PIXELS, target=0, steps=4):
    return faithfulness.pixel_curve(net, image, scores, target, steps=steps).y


@attempt(center="any_vector", radius="positive", n="count", seed="seed", measure="choice")
def local_fidelity(center=VEC, radius=1.0, n=50, seed=0, measure="r2"):
    return faithfulness.local_fidelity(sum_of_squares, row_sum, center, 2, radius, n, seed, measure)


@attempt(
    value="value",
    alpha="mask",
    radius="count",
    eps="share",
    delta="share",
    seed="seed",
    interval="choice",
)
def soft_stability(
    value=PROBABILITIES,
    alpha=ALPHA,
    radius=3,
    eps=0.2,
    delta=0.2,
    seed=0,
    interval="hoeffding",
    batch=16,
):
    return certificates.soft_stability(value, alpha, radius, eps, delta, seed, interval, batch).rate


@attempt(value="value", alpha="mask", radius="count")
def exact_stability(value=PROBABILITIES, alpha=ALPHA, radius=3):
    return certificates.exact_stability(value, alpha, radius)


@attempt(value="value", alpha="mask", eps="share", delta="share", n_samples="count?", seed="seed")
def stability_curve(value=PROBABILITIES, alpha=ALPHA, eps=0.2, delta=0.2, n_samples=50, seed=0):
    return certificates.stability_curve(value, alpha, [1, 2], eps, delta, n_samples, seed).rates


@attempt(value="value", alpha="mask", lam="share", quant="count", seed="seed", masking="choice")
def hard_stability(
    value=PROBABILITIES, alpha=ALPHA, lam=0.25, quant=8, seed=0, masking="quantised"
):
    return certificates.hard_stability(value, alpha, lam, quant, seed, masking=masking).radius


@attempt(value="value", lam="share", n_samples="count", seed="seed")
def smoothed(value=PROBABILITIES, lam=0.5, n_samples=8, seed=0):
    return certificates.smoothed(value, lam, n_samples, seed=seed)(ALL)


@attempt(alpha="mask", radius="count", n="count", seed="seed")
def sample_additive(alpha=ALPHA, radius=2, n=5, seed=0):
    return certificates.sample_additive(alpha, radius, n, seed)


@attempt(successes="numbers", n="numbers", delta="share")
def clopper_pearson(successes=3, n=9, delta=0.1):
    return certificates.clopper_pearson(successes, n, delta)


@attempt(successes="numbers", n="numbers", delta="share")
def anytime(successes=3, n=9, delta=0.1):
    return certificates.anytime(successes, n, delta)


@attempt(value="value", target="target", n_pending="count", search="choice", weights="weights")
def lima(
    value=PROBABILITIES, target=0, n_pending=3, search="bidirectional", weights=(20, 5, 0.05, 0.01)
):
    return subsets.lima(value, target, None, n_pending, weights, search).order


@attempt(
    image="image_in_full", kernel_size="positive", max_dist="positive", ratio="real", seed="seed"
)
def quickshift(image=IMG, kernel_size=4, max_dist=200, ratio=0.2, seed=2023):
    return segmentation.quickshift(image, kernel_size, max_dist, ratio, seed)


@attempt(image="image_in_full", n_segments="count", compactness="positive", sigma="real")
def slic(image=IMG, n_segments=9, compactness=10.0, sigma=0.0):
    return segmentation.slic(image, n_segments, compactness, sigma)


@attempt(image="image_in_full", n_segments="count")
def slico(image=IMG, n_segments=9):
    return segmentation.slico(image, n_segments)


@attempt(image="image", patch="count")
def grid(image=IMG, patch=16):
    return segmentation.grid(image, patch)


@attempt(image="image_in_full", n_segments="count", levels="count", iterations="count")
def seeds(image=IMG, n_segments=9, levels=2, iterations=3):
    return segmentation.seeds(image, n_segments, levels, iterations)


@attempt(masks="stack", least="real")
def disjoint(masks=BLOBS, least=0.0005):
    return segmentation.disjoint(masks, least)


@attempt(rgb="colour")
def constant(rgb=(0.1, 0.2, 0.3)):
    return removal.Constant(rgb)(IMG, SEG)(torch.ones(1, D, dtype=torch.bool))


@attempt(sigma="positive")
def blur(sigma=2.0):
    return removal.Blur(sigma)(IMG, SEG)(torch.zeros(1, D, dtype=torch.bool))


@attempt(method="choice", batch_size="count")
def inpaint(method="telea", batch_size=2):
    return removal.Inpaint(method, batch_size=batch_size)(IMG, SEG)(
        torch.eye(D, dtype=torch.bool)[:1]
    )


@attempt(sigma="positive", kernel="choice")
def uniform(sigma=1.0, kernel="paper"):
    return distributions.uniform(sigma, kernel=kernel).log_weight(np.ones((2, D), bool))


@attempt(sigma="positive", distance="choice")
def binomial(sigma=1.0, distance="l2"):
    return distributions.binomial(sigma, distance=distance).sample(4, D, 0)


@attempt(a="path_share")
def segment(a=0.5):
    return distributions.segment(a).sample(4, D, 0)


@attempt(n="count", d="count", norm="choice", radius="positive", seed="seed")
def ball(n=3, d=2, norm=2, radius=1.0, seed=0):
    return distributions.ball(n, d, norm, radius, seed)


@attempt(d="count")
def all_masks(d=3):
    return distributions.all_masks(d)


@attempt(
    x="point",
    loss="choice",
    n_samples="count",
    seed="seed",
    argument="choice",
    fit="choice",
    batch_rows="count",
)
def approximate(
    x=VEC, loss="squared", n_samples=64, seed=0, argument="noise", fit="closed", batch_rows=1000
):
    return lfa.approximate(
        sum_of_squares,
        x,
        distributions.normal(0.1),
        loss,
        n_samples,
        seed,
        0.0,
        argument,
        fit,
        batch_rows,
    ).weights


@attempt(d="count", sigma="positive")
def lime_moments(d=5, sigma=1.0):
    return limits.lime_moments(d, sigma)


@attempt(scores="table_of_classes", sigma="positive")
def limit(scores=TAB, sigma=1.0):
    return limits.limit(scores, sigma)


@attempt(scores="table", shares="table", ridge="real")
def fit_all(scores=TAB, shares=SHARES, ridge=0.1):
    return limits.fit_all(scores, shares, ridge)


@attempt(h="table", p="share")
def biased(h=TAB, p=0.3):
    return boolean.biased(h, p)


@attempt(h="table", lam="share")
def random_mask(h=TAB, lam=0.3):
    return boolean.random_mask(h, lam)


@attempt(h="table", radius="count")
def stability_rate(h=TAB, alpha=ALPHA4, radius=1):
    return boolean.stability_rate(h, alpha, radius)


@attempt(h="table", radius="count")
def soft_bound(h=TAB, alpha=ALPHA4, radius=1):
    return boolean.soft_bound(h, alpha, radius)


@attempt(coefficients="table", power="positive")
def mass(coefficients=TAB, power=1):
    return boolean.mass(coefficients, power)


@attempt(heatmap="map", alphas="shares?")
def box_of(heatmap=MAP1, alphas=0.5):
    return localisation.box_of(heatmap, alphas)


@attempt(side="count")
def centred(side=5):
    return localisation.centred(side)


@attempt(a="box")
def iou(a=(0, 0, 4, 4), b=(1, 1, 5, 5)):
    return localisation.iou(a, b)


@attempt(image="image", side="count?")
def cut_out(image=IMG, side=8):
    return localisation.cut_out(image, [0, 0, 4, 4], side)


@attempt(scores="vector", segments="segments", channels="count")
def to_captum(scores=VEC, segments=SEG, channels=3):
    return bridges.to_captum(scores, segments, channels)


@attempt(segments="segments")
def from_captum(segments=SEG):
    return bridges.from_captum(np.ones((1, 3, 48, 48)), segments)


@attempt(curve="any_vector")
def at_tops(curve=VEC):
    return seed_stability.at_tops(curve)


@attempt(d="count")
def chance(d=30):
    return seed_stability.chance(d)


@attempt(d="count")
def with_each(d=5):
    return subsets.with_each([0], np.array([1, 2]), d)


@attempt(d="count")
def best_values(d=4):
    return subsets.best_values(row_sum, d)


@attempt(d="count", n="count", seed="seed")
def diminishing_returns(d=4, n=10, seed=0):
    return subsets.diminishing_returns(row_sum, d, n, seed)


@attempt(eps="share", delta="share")
def hoeffding_size(eps=0.1, delta=0.1):
    return certificates.hoeffding_size(eps, delta)


@attempt(images="images")
def classifier_predict(images=IMG[None]):
    return CL.predict(images)


@attempt(n="count", seed="seed")
def data_draw(n=2, seed=0):
    return photographs.draw(TABLE, n, seed)


@attempt(n="count", seed="seed")
def table_points(n=3, seed=0):
    return tabular.diabetes().points(n, seed)


@attempt(points="table_of_points")
def pareto(points=POINTS):
    return metrics.pareto(points)


@attempt(name="choice", dtype="choice")
def tiny_load(name="efficientnet_lite0", dtype="float32"):
    return models.load(name, "cpu", dtype).size


@attempt(scores="any_vector", share="share", by="choice")
def select_top(scores=VEC, share=0.5, by="signed"):
    return attribution.select_top(scores, share, by)


@attempt(values="units", confidence="share", n_resamples="count", seed="seed")
def intervals(values=VEC, confidence=0.95, n_resamples=100, seed=0):
    return claims.intervals(values, confidence, n_resamples, seed)


@attempt(expected="choice", low="real", high="real", margin="real")
def verdict(expected="greater", low=0.1, high=0.2, margin=0.05):
    return claims.verdict(expected, low, high, margin)


@attempt(expected="choice", margin="margin")
def test_claim(expected="equal", margin=0.05):
    return claims.test_claim("c", "s", expected, "e", {"a": VEC}, margin).row()


@attempt(method="choice", n_samples="count", seed="seed")
def attribute_table(method="smoothgrad", n_samples=16, seed=0):
    return lfa.attribute(method, sum_of_squares, np.array([[0.1, 0.2, 0.3]]), n_samples, seed)


@attempt(image="image", segments="segments", target="target")
def instance(image=IMG, segments=SEG, target=0):
    return I(image, segments, target).of_class(UNIT, target)


@attempt(stride="count")
def sliding_patch(stride=16):
    return maps.sliding_patch(I(), removal.Constant(), [16], stride)


@attempt(n_samples="count", segments="segments")
def lime_maps(n_samples=16, segments=SEG):
    return maps.lime_maps(I(), removal.Constant(), [0], segments, n_samples)


@attempt(size="count", iterations="count", rate="positive", jitter="count")
def meaningful(size=4, iterations=2, rate=0.1, jitter=2):
    return maps.meaningful_perturbation(
        I(), removal.Blur(3.0), [0], size, iterations, rate, jitter=jitter
    )


@attempt(size="count")
def embedded(size=8):
    return {name: image.sum() for name, image in photographs.embedded_photographs(size).items()}


@attempt(baseline="colour")
def baseline_of_gradients(baseline=GREY):
    made = images_of.image_instance(CL, IMG, SEG, target=0, baseline=baseline)
    return xr.explain(made, "integrated_gradients", n_samples=3).scores


def explain_function(method):
    """Enter a method that draws masks, of a function."""

    def call(n_samples=32, seed=0, target=0):
        return xr.explain(xr.function(scores, D), method, n_samples, seed, target).scores

    call.__name__ = f"explain_{method}"
    attempt(n_samples="count?", seed="seed", target="target?")(call)


def explain_image(method, **options):
    """Enter a method of images."""

    def call(image=IMG, segments=SEG, target=0):
        return xr.explain(I(image, segments, target), method, **options).scores

    call.__name__ = f"explain_{method}"
    attempt(image="image", segments="segments", target="target?")(call)


for drawing in ("lime", "glime", "kernel_shap", "rise", "hsic", "sobol"):
    explain_function(drawing)
for plain in ("saliency", "gradient_x_input", "gradcam", "scorecam", "occlusion"):
    explain_image(plain)
explain_image("integrated_gradients", n_samples=8)
explain_image("smoothgrad", n_samples=3)
explain_image("mfaba", most=3)
