"Closed forms of B.6 and B.7 (GLIME) against counting every mask, and the limits that follow."
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xai_repro.explain import lfa, limits as M, distributions as N
from xai_repro.value import MaskFunction


def counted(d, weight):
    "Σ weight(k) z zᵀ over all masks, by a loop in long double."
    total = np.zeros((d, d), np.longdouble)
    for z in product((0, 1), repeat=d): total += np.longdouble(weight(sum(z)))*np.outer(z, z)
    return total


@pytest.mark.parametrize("sigma", [.25, .5, 1., 5.])
@pytest.mark.parametrize("d", [1, 2, 5, 9, 12])
def test_closed_forms_are_the_sums_over_masks(d, sigma):
    e = np.exp(np.longdouble(1)/np.longdouble(sigma)**2)
    for found, weight in ((M.lime_moments(d, sigma), lambda k: e**(k - d)/2**d), (M.binomial_moments(d, sigma), lambda k: e**k/(1 + e)**d)):
        true = counted(d, weight).astype(float)
        assert np.allclose(found.matrix(), true, rtol=1e-10, atol=0)
        assert np.allclose(found.inverse(.3).matrix(), np.linalg.inv(true + .3*np.eye(d)), rtol=1e-9, atol=1e-10)
    assert M.lime_total(d, sigma) == pytest.approx(float(sum(e**(sum(z) - d) for z in product((0, 1), repeat=d))/2**d), rel=1e-12)
    assert M.binomial_law(d, sigma).sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(d=st.integers(1, 8), sigma=st.floats(.4, 5), ridge=st.floats(.01, 2), seed=st.integers(0, 10**6))
def test_lime_with_its_ridge_is_glime_binomial_with_the_ridge_over_z(d, sigma, ridge, seed):
    y, uniform = np.random.default_rng(seed).random((3, 2**d)), np.exp(N.uniform(sigma).log_weight(N.all_masks(d)))/2**d
    lime, binomial = M.fit_all(y, uniform, ridge*M.lime_total(d, sigma)), M.fit_all(y, M.binomial_law(d, sigma), ridge)
    assert lime.shape == (3, d) and np.allclose(lime, binomial, atol=1e-9) and np.allclose(M.fit_all(y[1], M.binomial_law(d, sigma), ridge), binomial[1], atol=1e-12)


def test_glime_binomial_comes_to_the_closed_limit():
    "With an intercept, whose column the fit without one lacks: of a function that is 0 without features."
    d, sigma = 6, 1.
    Z = N.all_masks(d).astype(float)
    y = Z @ np.arange(6.) + Z[:, 0]*Z[:, 1]
    e = lfa.glime(MaskFunction(lambda m: y[m @ (1 << np.arange(d))], d), 0, 200_000, sigma, alpha=0)
    p = M.binomial_law(d, sigma)
    X = np.c_[Z, np.ones(2**d)]
    assert np.allclose(np.r_[e.weights, e.intercept], np.linalg.solve((X.T*p) @ X, (X.T*p) @ y), atol=.02)


@pytest.mark.parametrize("call, message", [
    (lambda: M.lime_moments(0, 1.), "d is 0"), (lambda: M.binomial_moments(3, 0.), "sigma is 0.0"), (lambda: M.Moments(3, 1., 1.).inverse(), "has no inverse; allowed: one that has, or ridge above 0"),
    (lambda: M.fit_all(np.ones(5), np.ones(5)), "scores has 5 numbers; allowed: one for each of 2\\^d masks"), (lambda: M.fit_all(np.ones(4), np.ones(3)), "shares has shape"), (lambda: M.fit_all([1., np.nan], np.ones(2)), "scores holds NaN")])
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message): call()


def test_the_committed_slopes_follow_from_the_committed_samples():
    from scipy.stats import linregress
    from xai_repro.workbook.results import Results
    results = Results("glime_theory", "standard")
    need, told = results.load("needed"), results.load("exponents").query("what == 'doublings a feature'").set_index(["method", "sigma"]).ours
    assert need.n.notna().all() and len(told) == 2*need.sigma.nunique()
    for key, part in need.groupby(["method", "sigma"]):
        assert told[key] == pytest.approx(np.mean([linregress(f.d, np.log2(f.n)).slope for _, f in part.groupby("function")]), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(d=st.integers(2, 7), sigma=st.floats(.5, 5), seed=st.integers(0, 10**6))
def test_the_limit_is_the_weighted_fit_of_all_masks(d, sigma, seed):
    y = np.random.default_rng(seed).random(2**d)
    fitted = lfa.fit(lfa.Samples(N.all_masks(d), y, N.exhaustive(N.exponential(sigma)), 2**d), alpha=0)
    assert np.allclose(M.limit(y, sigma), fitted.weights, atol=1e-6) and np.allclose(M.limit(np.stack([y, 2*y]), sigma)[1], 2*M.limit(y, sigma), atol=1e-12)


def test_at_the_ends_of_sigma_the_limit_is_occlusion_and_the_banzhaf_value():
    y, Z = np.random.default_rng(4).random(2**5), N.all_masks(5)
    assert np.allclose(M.limit(y, .02), [y[-1] - y[-1 - 2**i] for i in range(5)], atol=1e-12)
    assert np.allclose(M.limit(y, 1e6), [y[Z[:, i]].mean() - y[~Z[:, i]].mean() for i in range(5)], atol=1e-9)
    for bad, said in ((lambda: M.limit(y[:-1], 1.), "scores has 31 numbers"), (lambda: M.limit(y, 0.), "sigma is 0")):
        with pytest.raises(ValueError, match=said): bad()
