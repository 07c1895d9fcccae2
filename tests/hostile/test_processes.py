"""What is explained, and what explains it, comes back from pickle and from other processes."""
import io
import multiprocessing
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch

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
IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
TILES = segmentation.grid(IMAGE, 8)


def added(masks): return np.stack([masks.sum(1), 1. - masks[:, 0]], 1)
def shares(masks): return np.stack([masks.mean(1), 1 - masks.mean(1)], 1)
def embed(masks): return masks[:, :2] + 1.


def predict(images):
    level = images.mean((1, 2, 3))
    return torch.stack([level, 1 - level], 1)


def numbers(rows): return rows.sum(1)


def scores_of_everything(value):
    """What a value function says of every mask."""
    return value(distributions.all_masks(value.n_features))


VALUES = {
    "MaskFunction": MaskFunction(added, D),
    "Columns": Columns(MaskFunction(added, D), slice(1, 2)),
    "MaskedRow": MaskedRow(numbers, np.arange(5.)),
    "Smoothed": certificates.smoothed(MaskFunction(added, D), .5, 8),
    "an instance": function_instance(added, D),
    **{f"MaskedModel, {shown!r}": MaskedModel(predict, IMAGE, TILES, shown)
       for shown in (removal.MeanColor(), removal.Constant(), removal.Blur(2.),
                     removal.Inpaint("telea"), removal.Inpaint("biharmonic"))},
}


@pytest.mark.parametrize("name", VALUES)
def test_value_functions(tally, name):
    value = VALUES[name]
    again = pickle.loads(pickle.dumps(value))
    is_same = np.array_equal(scores_of_everything(again), scores_of_everything(value))
    tally.add("right" if is_same else "wrong", name)


@pytest.mark.parametrize("shown", [
    removal.MeanColor(), removal.Constant((.1, .2, .3)), removal.Blur(2.),
    removal.Inpaint("navier_stokes")])
def test_renderers(tally, shown):
    render = shown(IMAGE, TILES)
    masks = torch.eye(4, dtype=torch.bool)
    again = pickle.loads(pickle.dumps(render))
    is_same = torch.equal(again(masks), render(masks)) and repr(again) is not None
    tally.add("right" if is_same else "wrong", repr(shown))


DISTRIBUTIONS = [
    distributions.uniform(), distributions.cosine(), distributions.binomial(.5),
    distributions.binomial(distance="cosine"), distributions.shapley(), distributions.gauss(),
    distributions.laplace(), distributions.box(), distributions.exhaustive(),
    distributions.bernoulli(), distributions.one_out(), distributions.normal(),
    distributions.segment(), distributions.segment(.5, quadrature=False), distributions.here(),
    distributions.embedded(embed), distributions.cluster(np.eye(5), np.zeros(5)),
    *distributions.SAMPLINGS.values(),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda d: d.name)
def test_distributions(tally, distribution):
    again = pickle.loads(pickle.dumps(distribution))
    drawn = distribution.sample(20, D, 3)
    is_same = np.array_equal(again.sample(20, D, 3), drawn) and again == distribution
    tally.add("right" if is_same else "wrong", distribution.name)


RESULTS = {
    "Explanation": lambda: lfa.lime(MaskFunction(added, D), 0, 50, 5.),
    "Samples": lambda: lfa.glime(MaskFunction(added, D), 0, 50, 1.).samples,
    "Approximation": lambda: lfa.approximate(numbers, np.ones(5), distributions.normal()),
    "Ranking": lambda: subsets.lima(MaskFunction(shares, D), 0),
    "KernelSHAP": lambda: perturbation.kernel_shap(MaskFunction(added, D), 0),
    "Certificate": lambda: certificates.soft_stability(
        MaskFunction(shares, D), np.arange(D) < 2, 2, .3),
    "HardCertificate": lambda: certificates.hard_stability(
        MaskFunction(shares, D), np.arange(D) < 2),
    "Curve of stability": lambda: certificates.stability_curve(
        MaskFunction(shares, D), np.arange(D) < 2, n_samples=50),
    "Curve": lambda: faithfulness.insertion(MaskFunction(added, D), np.arange(D), 0),
    **{f"Attribution, {method}": lambda method=method: xr.explain(
        function_instance(shares, D), method) for method in (
            "lime", "glime", "kernel_shap", "lima", "rise", "hsic", "sobol", "occlusion")},
}


def bytes_of(result):
    """A result as bytes, by joblib, which walks through all that it holds."""
    target = io.BytesIO()
    joblib.dump(result, target)
    return target.getvalue()


@pytest.mark.parametrize("name", RESULTS)
def test_results(tally, name):
    result = RESULTS[name]()
    for how, again in (("pickle", pickle.loads(pickle.dumps(result))),
                       ("joblib", joblib.load(io.BytesIO(bytes_of(result))))):
        is_same = type(again) is type(result) and repr(again) == repr(result)
        tally.add("right" if is_same else "wrong", f"{name} by {how}")


def explain(seed): return lfa.lime(MaskFunction(added, D), 0, 50, 5., seed=seed)


def certify(seed):
    value = MaskedModel(predict, IMAGE, TILES)
    return certificates.soft_stability(value, np.arange(4) < 2, 2, .3, seed=seed)


@pytest.mark.parametrize("ask", [explain, certify])
def test_other_processes(tally, ask):
    here = [ask(seed) for seed in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map(ask, range(3))
    for one, other in zip(here, there, strict=True):
        tally.add("right" if repr(one) == repr(other) else "wrong", repr(other))
