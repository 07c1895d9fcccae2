"""Methods of masks alone, on functions whose answer is known by enumeration."""
import numpy as np
import pytest
from numpy.random import default_rng
from pytest import approx

import xai_repro as xr
from xai_repro.evaluate.faithfulness import insertion
from xai_repro.explain import perturbation
from xai_repro.explain.attribution import select_top
from xai_repro.explain.distributions import all_masks, uniform
from xai_repro.explain.methods import METHODS
from xai_repro.value import MaskFunction

MASKS = all_masks(4)


def sine(masks): return np.sin(masks @ [1., .5, 2., 0.]) + 2


SINE = MaskFunction(sine, 4)
Y = sine(MASKS)      # of all masks, [16]


def sum_of(contributions):
    """A value function that is a sum over the features that are present."""
    return MaskFunction(lambda masks: masks @ contributions, len(contributions))


def test_rise_is_the_mean_over_masks_with_the_feature():
    expected = []
    for present in MASKS.T:
        expected.append(Y[present].mean())
    scores = perturbation.rise(SINE, 0, 40_000)
    assert np.allclose(scores, expected, atol=.03)


def total_index(i):
    """The share of the variance that feature i is part of, by enumeration."""
    flipped = np.arange(16) ^ 1 << i
    change = Y - Y[flipped]
    return (change**2).mean()/4/Y.var()


def test_sobol_is_the_share_of_the_variance_that_a_feature_is_part_of():
    exact = [total_index(i) for i in range(4)]
    assert exact[3] == 0
    indices = perturbation.sobol(SINE, 0, 2**13)
    assert np.allclose(indices, exact, atol=.01)


def test_sobol_tells_all_features_of_a_large_sum_apart():
    """A flipped feature changes a sum by its contribution, whatever the others.

    So the indices are in proportion to its square from the first design on.
    """
    contributions = default_rng(0).permutation(49) + 1.
    indices = perturbation.sobol(sum_of(contributions), 0, 3)
    squares = contributions**2
    shares = squares/squares.sum()
    assert np.allclose(indices/indices.sum(), shares, rtol=1e-4)


def trace(K, L, n):
    """tr(KHLH)/(n - 1)², H the centring matrix."""
    H = np.eye(n) - 1/n
    product = K @ H @ L @ H
    return np.trace(product)/(n - 1)**2


def test_hsic_is_the_trace_with_the_kernels_written_out():
    Z = uniform(weighting=False).sample(60, 4, 0)
    y = sine(Z)
    distances = np.abs(y[:, None] - y)
    pairs = np.triu_indices(60, 1)
    width = np.median(distances[pairs])
    scaled = distances/width
    L = np.exp(-scaled**2/2)
    expected = []
    for column in Z.T:
        same = column[:, None] == column
        expected.append(trace(same.astype(float), L, 60))
    assert np.allclose(perturbation.hsic(SINE, 0, 60), expected)


def test_hsic_of_what_the_score_does_not_depend_on_is_small():
    scores = perturbation.hsic(SINE, 0, 2000)
    assert scores[3] < .1*scores[:3].min()


def test_occlusion_leaves_one_out():
    expected = []
    for i in range(4):
        without = np.arange(4) != i
        expected.append(sine(np.ones(4)) - sine(without))
    assert np.allclose(perturbation.occlusion(SINE, 0), expected)


def test_rise_hsic_and_lime_ask_the_same_masks():
    contributions = np.arange(12.)
    value = MaskFunction(lambda masks: np.sin(masks @ contributions), 12)
    perturbation.rise(value, 0, 300)
    n_queries = value.n_queries
    perturbation.hsic(value, 0, 200)
    assert value.n_queries == n_queries
    METHODS["lime"].function(value, 0, 300, sigma=5.)
    assert value.n_queries == n_queries


LINEAR = np.array([.1, -.2, .3, 0., .15, .05])


def two_classes(masks):
    y = masks @ LINEAR
    return np.stack([y, 1 - y], 1)


@pytest.mark.parametrize("method, options", [
    ("lime", dict(distance="cosine", original_first=True)), ("lime", dict(sigma=2.)),
    ("kernel_shap", {}), ("glime", dict(sigma=1.)), ("glime", dict(sigma=2.)),
    ("alime", dict(encode=lambda masks: masks, sigma=2.))])
def test_methods_of_masks_recover_a_linear_function(method, options):
    instance = xr.function(two_classes, 6, target=0)
    attribution = xr.explain(instance, method, 4000, **options)
    assert np.allclose(attribution.scores, LINEAR, atol=.005)


def test_lima_finds_the_order_of_a_linear_function():
    instance = xr.function(two_classes, 6, target=0)
    attribution = xr.explain(instance, "lima")
    order = (-LINEAR).argsort()
    best = insertion(instance, order, 0)
    found = insertion(instance, attribution.ranking(), 0)
    assert found.auc == approx(best.auc, abs=.02)


def test_a_random_ranking_is_a_permutation_by_seed():
    value = MaskFunction(lambda masks: np.ones((len(masks), 2)), 9)
    one = perturbation.random_ranking(value, 0, seed=1)
    assert sorted(one) == list(range(9))
    assert np.array_equal(one, perturbation.random_ranking(value, 0, seed=1))
    assert not np.array_equal(one, perturbation.random_ranking(value, 0, seed=2))
    assert value.n_queries == 0


# the best features

TIED = [.1, .9, .9, -2.]


@pytest.mark.parametrize("share, expected", [
    (.25, "0100"), (.5, "0110"), (.75, "1110"), (1., "1111")])
def test_the_top_share(share, expected):
    mask = select_top(TIED, share)
    assert "".join("01"[int(b)] for b in mask) == expected


def test_the_top_share_by_absolute_value():
    assert select_top(TIED, .25, "absolute").tolist() == [False, False, False, True]


@pytest.mark.parametrize("arguments, words", [
    (([1., 2.], 0), ["share"]),
    (([1., 2.], 2.), ["share is 2.0 of 2 features"]),
    (([1., np.nan], .5), ["scores", "NaN"]),
    (([1., 2.], .5, "size"), ["by", "signed, absolute"])])
def test_another_share_is_refused(arguments, words):
    with pytest.raises(ValueError) as caught:
        select_top(*arguments)
    for word in words: assert word in str(caught.value)


# bad input

@pytest.mark.parametrize("n", [0, 2.5])
@pytest.mark.parametrize("method", [perturbation.sobol, perturbation.rise])
def test_another_number_of_samples_is_refused(method, n):
    message = f"n_samples is {n}; allowed: a whole number of at least 1"
    with pytest.raises(ValueError, match=message):
        method(SINE, 0, n)


def constant(masks): return np.ones(len(masks))


@pytest.mark.parametrize("method, n", [(perturbation.hsic, 20), (perturbation.sobol, 4)])
def test_a_function_that_does_not_vary_has_no_indices(method, n):
    flat = MaskFunction(constant, 3)
    with pytest.raises(ValueError, match=r"value gives 1 for .*function that varies"):
        method(flat, 0, n)
