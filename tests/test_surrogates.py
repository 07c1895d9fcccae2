"""The ridge against scikit-learn and lime, and its identities."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from xai_repro.explain.distributions import exponential, uniform
from xai_repro.explain.surrogates import _ROWS, fitted_by, ridge

seeds = st.integers(0, 10**6)


def problem(seed, n, d, sigma):
    rng = np.random.default_rng(seed)
    Z = uniform(sigma).sample(n, d, seed)
    weights = np.exp(exponential(sigma)(Z))
    return Z, rng.random(n), weights


def fit(model, Z, y, w):
    """A model of scikit-learn, fitted, and its R²."""
    fitted = model.fit(Z, y, sample_weight=w)
    return fitted, fitted.score(Z, y, sample_weight=w)


def is_close(ours, theirs, atol, rtol=1e-5):
    return np.allclose(ours, theirs, rtol=rtol, atol=atol)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    n=st.integers(5, 200),
    d=st.integers(1, 30),
    sigma=st.floats(.5, 10),
    alpha=st.sampled_from([1e-2, 1., 100.]),
)
def test_equals_scikit_learn(seed, n, d, sigma, alpha):
    Z, y, w = problem(seed, n, d, sigma)
    ours = ridge(Z, y, w, alpha)
    theirs, r2 = fit(Ridge(alpha=alpha), Z, y, w)
    assert is_close(ours.coef, theirs.coef_, 1e-8)
    assert is_close(ours.intercept, theirs.intercept_, 1e-8)
    assert is_close(ours.r2, r2, 1e-8)


@pytest.mark.parametrize("sigma", [1., 2., 5.])
def test_equals_the_lime_package(sigma):
    from lime.lime_base import LimeBase
    n, d = 300, 20
    Z, y, _ = problem(3, n, d, sigma)
    Z[0] = True

    def kernel(distance):
        squared = distance**2/sigma**2
        return np.sqrt(np.exp(-squared))

    explain = LimeBase(kernel, random_state=0).explain_instance_with_data
    n_absent = (~Z).sum(1)
    labels = np.stack([1 - y, y], 1)
    numbers = Z.astype(float)
    explained = explain(numbers, labels, np.sqrt(n_absent), 1, d, feature_selection="none")
    intercept, weights, r2, _ = explained
    log_weight = exponential(sigma, "official")
    ours = ridge(Z, y, np.exp(log_weight(Z)))
    theirs = dict(weights)
    assert is_close(ours.coef, [theirs[feature] for feature in range(d)], 1e-8)
    assert is_close(ours.intercept, intercept, 1e-8)
    assert is_close(ours.r2, r2, 1e-8)


def test_no_ridge_is_minimum_norm_least_squares():
    Z, y, w = problem(0, 12, 20, 2.)     # fewer samples than features
    ours = ridge(Z, y, w, alpha=0)
    theirs, _ = fit(LinearRegression(), Z, y, w)
    assert is_close(ours.coef, theirs.coef_, 1e-8)


def test_no_ridge_does_not_depend_on_the_scale_of_the_weights():
    Z, y, w = problem(1, 200, 10, 1.)
    fitted = ridge(Z, y, w, alpha=0)
    scaled = ridge(Z, y, w*1e-200, alpha=0)
    assert is_close(fitted.coef, scaled.coef, 1e-10)


def test_batches_are_separate_fits():
    Z, y, w = problem(2, 60, 7, 1.)
    scores = [y, y**2, 1 - y]
    weights = [w, w**2, np.ones_like(w)]
    together = ridge(Z, np.stack(scores), np.stack(weights))
    coefficients = []
    r2 = []
    for one_y, one_w in zip(scores, weights, strict=True):
        alone = ridge(Z, one_y, one_w)
        coefficients.append(alone.coef)
        r2.append(alone.r2)
    assert is_close(together.coef, coefficients, 1e-12)
    assert is_close(together.r2, r2, 1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, shift=st.floats(-5, 5), scale=st.floats(.1, 10))
def test_linear_in_the_scores(seed, shift, scale):
    Z, y, w = problem(seed, 50, 6, 1.)
    plain = ridge(Z, y, w)
    moved = scale*y + shift
    fitted = ridge(Z, moved, w)
    assert is_close(fitted.coef, scale*plain.coef, 1e-9)
    intercept = scale*plain.intercept + shift
    assert is_close(fitted.intercept, intercept, 1e-8)
    assert is_close(fitted.r2, plain.r2, 1e-7)


def test_all_weights_zero_is_the_zero_explanation():
    Z, y, _ = problem(0, 30, 4, 1.)
    fitted = ridge(Z, y, np.zeros(30))
    assert not fitted.coef.any()
    assert fitted.r2 == 0


@pytest.mark.parametrize("n", [_ROWS - 1, _ROWS, 2*_ROWS + 3])
def test_many_rows_are_fitted_in_blocks(n):
    rng = np.random.default_rng(n)
    Z = rng.random((n, 7)) < .4
    y = rng.random(n)
    w = rng.random(n)
    ours = ridge(Z, y, w, 2.)
    theirs, r2 = fit(Ridge(alpha=2.), Z, y, w)
    assert is_close(ours.coef, theirs.coef_, 1e-12, rtol=1e-9)
    assert is_close(ours.r2, r2, 1e-8, rtol=1e-9)


# rows of infinite weight

@settings(max_examples=30, deadline=None)
@given(seed=seeds, alpha=st.sampled_from([0, .1, 1.]))
def test_rows_of_infinite_weight_are_passed_through(seed, alpha):
    Z, y, w = problem(seed, 40, 6, 2.)
    Z[0] = False
    Z[1] = True
    w[:2] = np.inf
    fitted = ridge(Z, y, w, alpha)
    assert is_close(fitted.intercept, y[0], 1e-9)
    total = fitted.coef.sum()                                # efficiency
    assert is_close(fitted.intercept + total, y[1], 1e-9)


@pytest.mark.parametrize("alpha", [0, 1.])
def test_without_other_rows_there_is_no_r2(alpha):
    Z = np.array([[False, False], [True, True]])
    y = np.array([1., 3.])
    weights = np.full(2, np.inf)
    fitted = ridge(Z, y, weights, alpha)
    assert is_close(fitted.coef, [1, 1], 1e-12)
    assert np.isnan(fitted.r2)


def test_contradicting_rows_are_refused():
    Z, y, w = problem(0, 10, 3, 1.)
    Z[:2] = True
    w[:2] = np.inf
    with pytest.raises(ValueError, match="contradict each other"):
        ridge(Z, y, w)


def test_rows_of_infinite_weight_are_the_same_in_every_problem():
    Z, y, w = problem(0, 10, 3, 1.)
    W = np.stack([w, w])
    W[0, 0] = np.inf
    W[1, 1] = np.inf
    Y = np.stack([y, y])
    with pytest.raises(ValueError, match="in different rows of different problems"):
        ridge(Z, Y, W)


def test_the_intercept_alone_is_that_of_the_ridge():
    Z, y, w = problem(5, 60, 4, 2.)
    fitted = ridge(Z, y, w)
    coef = fitted.coef[None]
    intercept, r2 = fitted_by(coef, Z.astype(float), y[None], w)
    assert is_close(intercept, fitted.intercept, 1e-12)
    assert is_close(r2, fitted.r2, 1e-12)
