"""What is explained, and what explains it, comes back from pickle and from other processes."""
import io
import multiprocessing
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch
from cases import cases

import xai_repro as xr
from xai_repro.evaluate import certificates, faithfulness
from xai_repro.explain import distributions, lfa, perturbation, subsets
from xai_repro.inputs import removal, segmentation
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.instance import function_instance
from xai_repro.inputs.tabular import MaskedRow
from xai_repro.value import Columns, MaskFunction

warnings.simplefilter("ignore", lfa.DegenerateFit)
D = 5
GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.rand(3, 16, 16, generator=GENERATOR)
TILES = segmentation.grid(IMAGE, 8)


def added(masks):
    n_shown = masks.sum(1)
    return np.stack([n_shown, 1. - masks[:, 0]], 1)


def shares(masks):
    share = masks.mean(1)
    return np.stack([share, 1 - share], 1)


def embed(masks): return masks[:, :2] + 1.


def predict(images):
    level = images.mean((1, 2, 3))
    return torch.stack([level, 1 - level], 1)


def numbers(rows): return rows.sum(1)


def copied(thing):
    """What comes back from pickle."""
    return pickle.loads(pickle.dumps(thing))


ALL = distributions.all_masks(D)
ADDED = MaskFunction(added, D)
SHARES = MaskFunction(shares, D)
FIRST_TWO = np.arange(D) < 2


@cases("name, value", {
    "MaskFunction": ADDED,
    "Columns": Columns(ADDED, slice(1, 2)),
    "MaskedRow": MaskedRow(numbers, np.arange(5.)),
    "Smoothed": certificates.smoothed(ADDED, .5, 8),
    "an instance": function_instance(added, D),
})
def test_value_functions(tally, name, value):
    again = copied(value)
    is_same = np.array_equal(again(ALL), value(ALL))
    tally.right_if(is_same, name)


@pytest.mark.parametrize("shown", [
    removal.MeanColor(), removal.Constant(), removal.Blur(2.),
    removal.Inpaint("telea"), removal.Inpaint("biharmonic")])
def test_images_of_which_segments_are_absent(tally, shown):
    value = MaskedModel(predict, IMAGE, TILES, shown)
    again = copied(value)
    masks = distributions.all_masks(value.n_features)
    is_same = np.array_equal(again(masks), value(masks))
    tally.right_if(is_same, repr(shown))


@pytest.mark.parametrize("shown", [
    removal.MeanColor(), removal.Constant((.1, .2, .3)), removal.Blur(2.),
    removal.Inpaint("navier_stokes")])
def test_renderers(tally, shown):
    render = shown(IMAGE, TILES)
    masks = torch.eye(4, dtype=torch.bool)
    again = copied(render)
    is_same = torch.equal(again(masks), render(masks))
    tally.right_if(is_same, repr(shown))
    assert repr(again) is not None


@pytest.mark.parametrize("distribution", [
    distributions.uniform(), distributions.cosine(), distributions.binomial(.5),
    distributions.binomial(distance="cosine"), distributions.shapley(), distributions.gauss(),
    distributions.laplace(), distributions.box(), distributions.exhaustive(),
    distributions.bernoulli(), distributions.one_out(), distributions.normal(),
    distributions.segment(), distributions.segment(.5, quadrature=False), distributions.here(),
    distributions.embedded(embed), distributions.cluster(np.eye(5), np.zeros(5)),
    *distributions.SAMPLINGS.values(),
], ids=lambda d: d.name)
def test_distributions(tally, distribution):
    again = copied(distribution)
    drawn = distribution.sample(20, D, 3)
    is_drawn = np.array_equal(again.sample(20, D, 3), drawn)
    tally.right_if(is_drawn and again == distribution, distribution.name)


def copied_by_joblib(result):
    """What comes back from joblib, which walks through all that a result holds."""
    file = io.BytesIO()
    joblib.dump(result, file)
    file.seek(0)
    return joblib.load(file)


def count_copies(tally, name, result):
    """Count whether a result comes back as it is, by pickle and by joblib."""
    shown = repr(result)
    for copy in (copied, copied_by_joblib):
        again = copy(result)
        is_same = type(again) is type(result) and repr(again) == shown
        tally.right_if(is_same, f"{name} by {copy.__name__}")


@cases("name, make", {
    "Explanation": lambda: lfa.lime(ADDED, 0, 50, 5.),
    "Samples": lambda: lfa.glime(ADDED, 0, 50, 1.).samples,
    "Approximation": lambda: lfa.approximate(numbers, np.ones(5), distributions.normal()),
    "Ranking": lambda: subsets.lima(SHARES, 0),
    "KernelSHAP": lambda: perturbation.kernel_shap(ADDED, 0),
    "Certificate": lambda: certificates.soft_stability(SHARES, FIRST_TWO, 2, .3),
    "HardCertificate": lambda: certificates.hard_stability(SHARES, FIRST_TWO),
    "Curve of stability": lambda: certificates.stability_curve(SHARES, FIRST_TWO, n_samples=50),
    "Curve": lambda: faithfulness.insertion(ADDED, np.arange(D), 0),
})
def test_results(tally, name, make):
    result = make()
    count_copies(tally, name, result)


@pytest.mark.parametrize("method", [
    "lime", "glime", "kernel_shap", "lima", "rise", "hsic", "sobol", "occlusion"])
def test_attributions(tally, method):
    instance = function_instance(shares, D)
    result = xr.explain(instance, method)
    count_copies(tally, method, result)


def explain(seed): return lfa.lime(ADDED, 0, 50, 5., seed=seed)


def certify(seed):
    value = MaskedModel(predict, IMAGE, TILES)
    alpha = np.arange(4) < 2
    return certificates.soft_stability(value, alpha, 2, .3, seed=seed)


@pytest.mark.parametrize("ask", [explain, certify])
def test_other_processes(tally, ask):
    here = [ask(seed) for seed in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map(ask, range(3))
    for one, other in zip(here, there, strict=True):
        is_same = repr(one) == repr(other)
        tally.right_if(is_same, repr(other))
