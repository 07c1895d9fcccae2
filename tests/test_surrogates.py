"Our ridge against scikit-learn and lime, and its identities."
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from xai_repro.explain import distributions as N
from xai_repro.explain.surrogates import _ROWS, ridge


def problem(seed, n, d, sigma):
    rng = np.random.default_rng(seed)
    Z = N.uniform(sigma).sample(n, d, seed)
    return Z, rng.random(n), np.exp(N.exponential(sigma)(Z))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 200), d=st.integers(1, 30), sigma=st.floats(.5, 10), alpha=st.sampled_from([1e-2, 1., 100.]))
def test_equals_scikit_learn(seed, n, d, sigma, alpha):
    Z, y, w = problem(seed, n, d, sigma)
    ours, theirs = ridge(Z, y, w, alpha), Ridge(alpha=alpha).fit(Z, y, sample_weight=w)
    assert np.allclose(ours.coef, theirs.coef_, atol=1e-8) and np.isclose(ours.intercept, theirs.intercept_, atol=1e-8)
    assert np.isclose(ours.r2, theirs.score(Z, y, sample_weight=w), atol=1e-8)


@pytest.mark.parametrize("sigma", [1., 2., 5.])
def test_equals_the_lime_package(sigma):
    from lime.lime_base import LimeBase
    n, d = 300, 20
    Z, y, _ = problem(3, n, d, sigma); Z[0] = True
    base = LimeBase(lambda distance: np.sqrt(np.exp(-distance**2/sigma**2)), random_state=0)
    intercept, local, score, _ = base.explain_instance_with_data(Z.astype(float), np.stack([1 - y, y], 1), np.sqrt((~Z).sum(1)), 1, d, feature_selection="none")
    ours = ridge(Z, y, np.exp(N.exponential(sigma, "official")(Z)))
    assert np.allclose(ours.coef, [w for _, w in sorted(local)], atol=1e-8)
    assert np.isclose(ours.intercept, intercept, atol=1e-8) and np.isclose(ours.r2, score, atol=1e-8)


def test_no_ridge_is_minimum_norm_least_squares():
    Z, y, w = problem(0, 12, 20, 2.)     # fewer samples than features
    theirs = LinearRegression().fit(Z, y, sample_weight=w)
    assert np.allclose(ridge(Z, y, w, alpha=0).coef, theirs.coef_, atol=1e-8)


def test_no_ridge_does_not_depend_on_the_scale_of_the_weights():
    Z, y, w = problem(1, 200, 10, 1.)
    assert np.allclose(ridge(Z, y, w, alpha=0).coef, ridge(Z, y, w*1e-200, alpha=0).coef, atol=1e-10)


def test_batches_are_separate_fits():
    Z, y, w = problem(2, 60, 7, 1.)
    Y = np.stack([y, y**2, 1 - y]); W = np.stack([w, w**2, np.ones_like(w)])
    together = ridge(Z, Y, W)
    for i in range(3):
        alone = ridge(Z, Y[i], W[i])
        assert np.allclose(together.coef[i], alone.coef, atol=1e-12) and np.isclose(together.r2[i], alone.r2, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5), scale=st.floats(.1, 10))
def test_linear_in_the_scores(seed, shift, scale):
    Z, y, w = problem(seed, 50, 6, 1.)
    a, b = ridge(Z, y, w), ridge(Z, scale*y + shift, w)
    assert np.allclose(b.coef, scale*a.coef, atol=1e-9) and np.isclose(b.intercept, scale*a.intercept + shift, atol=1e-8) and np.isclose(b.r2, a.r2, atol=1e-7)


def test_all_weights_zero_is_the_zero_explanation():
    Z, y, _ = problem(0, 30, 4, 1.)
    fitted = ridge(Z, y, np.zeros(30))
    assert not fitted.coef.any() and fitted.r2 == 0


@pytest.mark.parametrize("rows", [_ROWS - 1, _ROWS, 2*_ROWS + 3])
def test_many_rows_are_fitted_in_blocks(rows):
    rng = np.random.default_rng(rows)
    Z, y, w = rng.random((rows, 7)) < .4, rng.random(rows), rng.random(rows)
    ours, theirs = ridge(Z, y, w, 2.), Ridge(alpha=2.).fit(Z, y, sample_weight=w)
    assert np.allclose(ours.coef, theirs.coef_, rtol=1e-9, atol=1e-12) and np.isclose(ours.r2, theirs.score(Z, y, sample_weight=w), rtol=1e-9)
