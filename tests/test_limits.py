"""Closed forms of B.6 and B.7 (GLIME) against counting every mask, and the limits that follow."""
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro.explain import limits
from xai_repro.explain.distributions import all_masks, exhaustive, exponential, uniform
from xai_repro.explain.lfa import Samples, fit, glime
from xai_repro.explain.limits import binomial_probabilities, fit_all, lime_total, limit
from xai_repro.value import MaskFunction

SIGMAS = [.25, .5, 1., 5.]
DIMENSIONS = [1, 2, 5, 9, 12]


def is_close(ours, theirs, atol, rtol=1e-5):
    return np.allclose(ours, theirs, rtol=rtol, atol=atol)


def second_moments(d, weight, e):
    """Σ weight(k) z zᵀ over all masks, by a loop in long double."""
    total = np.zeros((d, d), np.longdouble)
    for z in product((0, 1), repeat=d):
        total += weight(sum(z), d, e)*np.outer(z, z)
    return total.astype(float)


def lime_weight(k, d, e):
    return e**(k - d)/2**d


def binomial_weight(k, d, e):
    return e**k/(1 + e)**d


def long_exponential(sigma):
    """e^(1/σ²) in long double."""
    variance = np.longdouble(sigma)**2
    return np.exp(1/variance)


MOMENTS = [(limits.lime_moments, lime_weight), (limits.binomial_moments, binomial_weight)]


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("moments, weight", MOMENTS, ids=["lime", "binomial"])
def test_closed_forms_are_the_sums_over_masks(d, sigma, moments, weight):
    ours = moments(d, sigma)
    counted = second_moments(d, weight, long_exponential(sigma))
    assert is_close(ours.matrix(), counted, 0, rtol=1e-10)
    ridge = .3*np.eye(d)
    expected = np.linalg.inv(counted + ridge)
    inverse = ours.inverse(.3).matrix()
    assert is_close(inverse, expected, 1e-10, rtol=1e-9)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("d", DIMENSIONS)
def test_totals_are_the_sums_over_masks(d, sigma):
    e = long_exponential(sigma)
    counted = 0
    for z in product((0, 1), repeat=d):
        counted += lime_weight(sum(z), d, e)
    expected = pytest.approx(float(counted), rel=1e-12)
    assert lime_total(d, sigma) == expected
    total = binomial_probabilities(d, sigma).sum()
    assert total == pytest.approx(1, abs=1e-12)


seeds = st.integers(0, 10**6)
strengths = st.floats(.01, 2)


@settings(max_examples=25, deadline=None)
@given(d=st.integers(1, 8), sigma=st.floats(.4, 5), strength=strengths, seed=seeds)
def test_lime_with_its_ridge_is_glime_binomial_with_the_ridge_over_z(d, sigma, strength, seed):
    y = np.random.default_rng(seed).random((3, 2**d))
    log_weight = uniform(sigma).log_weight(all_masks(d))
    weights = np.exp(log_weight)/2**d
    probabilities = binomial_probabilities(d, sigma)
    lime = fit_all(y, weights, strength*lime_total(d, sigma))
    binomial = fit_all(y, probabilities, strength)
    assert lime.shape == (3, d)
    assert is_close(lime, binomial, 1e-9)
    one = fit_all(y[1], probabilities, strength)
    assert is_close(one, binomial[1], 1e-12)


def test_glime_binomial_converges_to_the_closed_limit():
    """With an intercept, for a function that is 0 without features."""
    d, sigma = 6, 1.
    Z = all_masks(d).astype(float)
    interaction = Z[:, 0]*Z[:, 1]
    y = Z @ np.arange(6.) + interaction
    bits = 1 << np.arange(d)
    value = MaskFunction(lambda masks: y[masks @ bits], d)
    sampled = glime(value, 0, 200_000, sigma, alpha=0)
    p = binomial_probabilities(d, sigma)
    constant = np.ones(2**d)
    X = np.c_[Z, constant]
    weighted = X.T*p
    expected = np.linalg.solve(weighted @ X, weighted @ y)
    assert is_close(sampled.weights, expected[:-1], .02)
    assert is_close(sampled.intercept, expected[-1], .02)


@pytest.mark.parametrize("moments", [limits.lime_moments, limits.binomial_moments])
def test_bad_sizes_and_widths_are_refused(moments):
    with pytest.raises(ValueError, match="d is 0"):
        moments(0, 1.)
    with pytest.raises(ValueError, match=r"sigma is 0\.0"):
        moments(3, 0.)


def test_a_singular_matrix_is_refused():
    allowed = "has no inverse; allowed: one that has, or ridge above 0"
    with pytest.raises(ValueError, match=allowed):
        limits.Moments(3, 1., 1.).inverse()


@pytest.mark.parametrize(
    "scores, shares, message",
    [
        (np.ones(5), np.ones(5), r"scores has 5 numbers; allowed: one for each of 2\^d masks"),
        (np.ones(4), np.ones(3), "shares has shape"),
        ([1., np.nan], np.ones(2), "scores holds NaN"),
    ],
)
def test_scores_and_shares_that_do_not_fit_are_refused(scores, shares, message):
    with pytest.raises(ValueError, match=message):
        fit_all(scores, shares)


def test_the_committed_slopes_follow_from_the_committed_samples():
    from scipy.stats import linregress

    from xai_repro.workbook.results import Results
    results = Results("glime_theory", "standard")
    needed = results.load("needed")
    exponents = results.load("exponents")
    doublings = exponents.query("what == 'doublings a feature'")
    committed = doublings.set_index(["method", "sigma"]).ours
    assert needed.n.notna().all()
    n_widths = needed.sigma.nunique()
    assert len(committed) == 2*n_widths
    for key, part in needed.groupby(["method", "sigma"]):
        slopes = []
        for _, rows in part.groupby("function"):
            fitted = linregress(rows.d, np.log2(rows.n))
            slopes.append(fitted.slope)
        assert committed[key] == pytest.approx(np.mean(slopes), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(d=st.integers(2, 7), sigma=st.floats(.5, 5), seed=seeds)
def test_the_limit_is_the_weighted_fit_of_all_masks(d, sigma, seed):
    y = np.random.default_rng(seed).random(2**d)
    every_mask = exhaustive(exponential(sigma))
    samples = Samples(all_masks(d), y, every_mask, 2**d)
    fitted = fit(samples, alpha=0)
    ours = limit(y, sigma)
    assert is_close(ours, fitted.weights, 1e-6)
    batch = np.stack([y, 2*y])
    both = limit(batch, sigma)
    assert is_close(both[1], 2*ours, 1e-12)


def test_at_the_ends_of_sigma_the_limit_is_occlusion_and_the_banzhaf_value():
    y = np.random.default_rng(4).random(2**5)
    Z = all_masks(5)
    occlusion = limit(y, .02)
    banzhaf = limit(y, 1e6)
    for i, is_present in enumerate(Z.T):
        without = y[-1 - 2**i]
        assert is_close(occlusion[i], y[-1] - without, 1e-12)
        present = y[is_present].mean()
        absent = y[~is_present].mean()
        assert is_close(banzhaf[i], present - absent, 1e-9)


@pytest.mark.parametrize(
    "n, sigma, message",
    [(31, 1., "scores has 31 numbers"), (32, 0., "sigma is 0")],
)
def test_bad_arguments_of_the_limit_are_refused(n, sigma, message):
    with pytest.raises(ValueError, match=message):
        limit(np.ones(n), sigma)
