"The exact solution of Equation 2, and that LIME and GLIME reach it."
import warnings

import numpy as np
import pytest
import torch

from xai_repro.explain import lfa, distributions as N
from xai_repro.value import MaskFunction

SIGMAS = [.5, 1., 5.]


def boolean(d, seed=0, K=2):
    table = np.random.default_rng(seed).random((2**d, K))
    return MaskFunction(lambda m: table[m @ (1 << np.arange(d))], d, batch_size=1000), table


def equation_2(table, d, sigma, alpha, target):
    "argmin Σ π (f - b - wᵀz)² + α‖w‖² over all masks, by the normal equations of (w, b) in exact-enough arithmetic."
    Z = np.array([[i >> j & 1 for j in range(d)] for i in range(2**d)], np.longdouble)
    X, w = np.c_[Z, np.ones(2**d)], np.exp((Z.sum(1) - d)/np.longdouble(sigma)**2)
    gram = (X.T*w) @ X + alpha*np.diag(np.r_[np.ones(d), 0])
    return np.linalg.solve(gram.astype(float), ((X.T*w) @ table[:, target]).astype(float))


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("alpha", [0., 1.])
@pytest.mark.parametrize("d", [3, 6, 10])
def test_all_masks_reach_equation_2(d, alpha, sigma):
    value, table = boolean(d)
    e = lfa.explain(value, 1, N.exhaustive(N.exponential(sigma)), alpha=alpha)
    solution = equation_2(value(N.all_masks(d)).astype(float), d, sigma, alpha, 1)
    assert np.allclose(e.weights, solution[:-1], atol=1e-10) and np.isclose(e.intercept, solution[-1], atol=1e-10)
    assert e.weights.dtype == np.float64 and e.weights.shape == (d,)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_lime_and_glime_converge_to_it_and_to_each_other(sigma):
    "B.2. The error falls like n^-1/2: sixteen times the samples, about a quarter of the error."
    d = 6
    value, _ = boolean(d, seed=1)
    exact = lfa.explain(value, 0, N.exhaustive(N.exponential(sigma)), alpha=0).weights
    error = {n: np.mean([[np.abs(m(value, 0, n, sigma, alpha=0, seed=s).weights - exact).mean() for m in (lfa.lime, lfa.glime)] for s in range(8)], axis=0) for n in (4_000, 64_000)}
    assert (error[64_000] < .01).all() and (error[64_000] < .5*error[4_000]).all()
    assert np.abs(lfa.lime(value, 0, 400_000, sigma, alpha=0).weights - lfa.glime(value, 0, 400_000, sigma, alpha=0).weights).max() < .02


def test_the_ridge_is_forgotten():
    "With alpha = 1 the limit is the same: its bias falls like 1/n."
    value, _ = boolean(6, seed=1)
    exact = lfa.explain(value, 0, N.exhaustive(N.exponential(1.)), alpha=0).weights
    for method in (lfa.lime, lfa.glime): assert np.abs(method(value, 0, 400_000, 1., alpha=1).weights - exact).max() < .01


def test_the_official_kernel_is_the_papers_at_root_two_sigma():
    value, _ = boolean(7)
    a, b = lfa.lime(value, 0, 500, sigma=1., kernel="official"), lfa.lime(value, 0, 500, sigma=np.sqrt(2))
    assert np.allclose(a.weights, b.weights, atol=1e-12)


@pytest.mark.parametrize("method, options", [(lfa.lime, {}), (lfa.lime, dict(weighting=False)), (lfa.glime, {}), (lfa.glime, dict(exclude_full=True))])
def test_the_same_seed_is_the_same_explanation(method, options):
    value, _ = boolean(8)
    np.random.seed(0); torch.manual_seed(0); state = np.random.get_state()[1].copy()
    first = method(value, 0, 200, 1., seed=5, **options)
    method(value, 1, 77, 2., seed=6)
    again = method(value, 0, 200, 1., seed=5, **options)
    assert np.array_equal(first.weights, again.weights) and np.array_equal(state, np.random.get_state()[1])
    assert not np.array_equal(first.weights, method(value, 0, 200, 1., seed=6, **options).weights)


def test_any_callable_with_n_features_is_a_value_function():
    class Plain:
        n_features = 4
        def __call__(self, masks): return torch.as_tensor(masks).float() @ torch.tensor([[1., 0], [2, 0], [3, 0], [4, 1]])
    e = lfa.glime(Plain(), 0, 300, sigma=2., alpha=0)
    assert np.allclose(e.weights, [1, 2, 3, 4], atol=1e-5) and e.n_queries == 300


def test_a_prefix_is_a_smaller_explanation_without_queries():
    value, _ = boolean(9)
    samples = lfa.draw(value, 1, N.binomial(1.), 600, seed=2); asked = value.n_queries
    small = lfa.fit(samples.prefix(150))
    assert value.n_queries == asked and np.array_equal(small.weights, lfa.glime(value, 1, 150, 1., seed=2).weights)


def test_queries_are_counted_per_call():
    value, _ = boolean(5)
    first, second = (lfa.glime(value, 0, 1000, 1., seed=0) for _ in range(2))
    assert 0 < first.n_queries <= 32 and second.n_queries == 0 and value.n_queries == first.n_queries


@pytest.mark.parametrize("options, words", [
    (dict(sigma=.25), ["all weights vanish", "effective sample size", "increase sigma"]),
    (dict(sigma=.05), ["all weights vanish", "effective sample size"]),
    (dict(sigma=.25, alpha=0), ["one sample outweighs", "effective sample size"])])
def test_vanishing_weights_warn(options, words):
    value = MaskFunction(lambda m: m[:, 0].astype(float), 60)
    with pytest.warns(lfa.DegenerateFit) as caught: e = lfa.lime(value, 0, 400, **options)
    for word in words: assert word in str(caught[0].message)
    assert np.isfinite(e.weights).all() and e.effective_sample_size < 5


def test_undefined_r2_is_said():
    value = MaskFunction(lambda m: m[:, 0].astype(float), 20)
    with pytest.warns(lfa.DegenerateFit, match="R² is undefined"): e = lfa.glime(value, 0, 50, sigma=.2)
    assert np.isnan(e.r2) and not e.weights.any()
    with warnings.catch_warnings(): warnings.simplefilter("error"); assert lfa.glime(value, 0, 200, sigma=.2, exclude_full=True).r2 > .5


def test_the_first_sample_can_be_the_input():
    value, _ = boolean(6)
    samples = lfa.draw(value, 0, N.uniform(1., original_first=True), 50)
    assert samples.Z[0].all() and np.array_equal(samples.Z[1:], lfa.draw(value, 0, N.uniform(1.), 50).Z[1:])


class Quadratic:
    "A value function of noise with a known gradient: f(z) = aᵀz + |z|² in units of the features."
    n_features = 5
    a = np.array([1., -2, 3, 0, .5])
    def __call__(self, masks): raise AssertionError("noise neighborhoods do not ask masks")
    def add(self, noise): return (noise @ self.a + (noise**2).sum(1))[:, None]


@pytest.mark.parametrize("distribution", ["gauss", "laplace", "uniform"])
def test_symmetric_noise_recovers_the_gradient(distribution):
    "Stein's lemma (GLIME B.8): the odd part of f survives, the even part averages out."
    e = lfa.glime(Quadratic(), 0, 40_000, sigma=1., distribution=distribution, alpha=0)
    assert np.allclose(e.weights, Quadratic.a*N.GREY, atol=2e-4)     # per grey level


# ALIME

@pytest.mark.parametrize("power", [1, 2])
def test_alime_is_a_weighted_ridge(power):
    from sklearn.linear_model import Ridge
    value, table = boolean(6)
    W = np.random.default_rng(3).normal(size=(6, 4))
    encode = lambda masks: torch.tanh(torch.as_tensor(masks @ W))
    e = lfa.alime(value, 1, encode, 300, sigma=.8, alpha=.5, seed=4, power=power)
    Z = N.uniform().sample(300, 6, 4)
    distance = np.sqrt(((np.tanh(Z @ W) - np.tanh(W.sum(0)))**2).sum(1))
    model = Ridge(alpha=.5).fit(Z, table[Z @ (1 << np.arange(6)), 1], sample_weight=np.exp(-(distance/.8)**power))
    assert np.allclose(e.weights, model.coef_, atol=1e-6) and np.allclose(e(Z), model.predict(Z), atol=1e-6)


@pytest.mark.parametrize("encode, options, message", [
    (lambda masks: np.full((len(masks), 2), np.nan), {}, "encode returned .* NaN or infinite"), (lambda masks: np.ones((len(masks), 2)), {}, "the same embedding for all 51 masks"),
    (lambda masks: masks[:, 0], {}, r"encode returned shape \(51,\)"), (lambda masks: masks, dict(alpha=0, n_samples=6), "n_samples is 6 with alpha=0; allowed: more than the 6 features"),
    (lambda masks: masks, dict(power=3), "power is 3; allowed: 1, 2"), (lambda masks: masks, dict(sigma=0), "sigma is 0")])
def test_alime_says_what_is_wrong(encode, options, message):
    with pytest.raises(ValueError, match=message): lfa.alime(boolean(6)[0], 0, encode, **(dict(n_samples=50) | options))


# DLIME

@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_dlime_is_least_squares_on_scikit_learns_cluster(n_clusters):
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsClassifier
    rng = np.random.default_rng(n_clusters)
    rows, x, f = rng.normal(size=(120, 3)) + 3*rng.integers(0, 2, (120, 1)), rng.normal(size=3), lambda X: torch.sin(X).sum(1)
    labels = AgglomerativeClustering(n_clusters).fit_predict(rows) if n_clusters > 1 else np.zeros(120)
    own = labels == KNeighborsClassifier(1).fit(rows, labels).predict(x[None])[0]
    assert np.allclose(lfa.approximate(f, x, N.cluster(rows, x, n_clusters)).weights, LinearRegression().fit(rows[own], f(torch.tensor(rows[own])).numpy()).coef_, atol=1e-9)
