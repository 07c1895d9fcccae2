"""The exact solution of Equation 2, and that LIME and GLIME reach it."""
import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from value_tables import numbers_of, table_value

from xai_repro.explain import distributions, lfa
from xai_repro.value import MaskFunction

SIGMAS = [.5, 1., 5.]
MASK_METHODS = [lfa.lime, lfa.glime]


def random_table(d, seed=0, K=2):
    """Scores of all masks of d features, [2**d, K]."""
    generator = np.random.default_rng(seed)
    return generator.random((2**d, K))


def boolean(d, seed=0):
    """A value function of d features without structure."""
    return table_value(random_table(d, seed))


def first_feature(d):
    """A value function that depends on its first feature alone."""
    def f(masks): return masks[:, 0].astype(float)

    return MaskFunction(f, d)


def equation_2(y, d, sigma, alpha):
    """argmin Σ π (f - b - wᵀz)² + α‖w‖² over all masks, by its normal equations.

    `y` is [2**d]; returns w and b, [d + 1], in exact-enough arithmetic.
    """
    Z = distributions.all_masks(d).astype(np.longdouble)
    ones = np.ones(2**d)
    X = np.c_[Z, ones]
    absent = d - Z.sum(1)
    width = np.longdouble(sigma)**2
    w = np.exp(-absent/width)
    penalised = np.append(np.ones(d), 0)
    ridge = alpha*np.diag(penalised)
    weighted = X.T*w
    gram = weighted @ X + ridge
    moment = weighted @ y
    right = moment.astype(float)
    return np.linalg.solve(gram.astype(float), right)


def exact_weights(value, sigma):
    """The weights without a ridge, from all masks."""
    around = distributions.exhaustive(distributions.exponential(sigma))
    return lfa.explain(value, 0, around, alpha=0).weights


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("alpha", [0., 1.])
@pytest.mark.parametrize("d", [3, 6, 10])
def test_all_masks_reach_equation_2(d, alpha, sigma):
    value = boolean(d)
    around = distributions.exhaustive(distributions.exponential(sigma))
    explanation = lfa.explain(value, 1, around, alpha=alpha)
    y = value(distributions.all_masks(d))[:, 1]
    *weights, intercept = equation_2(y, d, sigma, alpha)
    assert np.allclose(explanation.weights, weights, atol=1e-10)
    assert np.isclose(explanation.intercept, intercept, atol=1e-10)
    assert explanation.weights.dtype == np.float64
    assert explanation.weights.shape == (d,)


def mean_error(method, value, exact, sigma, n):
    """The mean absolute error of the weights over eight seeds."""
    errors = []
    for seed in range(8):
        weights = method(value, 0, n, sigma, alpha=0, seed=seed).weights
        difference = np.abs(weights - exact)
        errors.append(difference.mean())
    return np.mean(errors)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_lime_and_glime_converge_to_it_and_to_each_other(sigma):
    """GLIME B.2. The error falls like n^-1/2: of sixteen times the samples, about a quarter."""
    value = boolean(6, seed=1)
    exact = exact_weights(value, sigma)
    for method in MASK_METHODS:
        few = mean_error(method, value, exact, sigma, 4_000)
        many = mean_error(method, value, exact, sigma, 64_000)
        assert many < .01
        assert many < .5*few
    by_lime = lfa.lime(value, 0, 400_000, sigma, alpha=0).weights
    by_glime = lfa.glime(value, 0, 400_000, sigma, alpha=0).weights
    difference = np.abs(by_lime - by_glime)
    assert difference.max() < .02


@pytest.mark.parametrize("method", MASK_METHODS)
def test_the_ridge_is_forgotten(method):
    """With alpha = 1 the limit is the same: its bias falls like 1/n."""
    value = boolean(6, seed=1)
    weights = method(value, 0, 400_000, 1., alpha=1).weights
    exact = exact_weights(value, 1.)
    error = np.abs(weights - exact)
    assert error.max() < .01


def test_the_official_kernel_is_the_papers_at_root_two_sigma():
    value = boolean(7)
    official = lfa.lime(value, 0, 500, sigma=1., kernel="official")
    paper = lfa.lime(value, 0, 500, sigma=np.sqrt(2))
    assert np.allclose(official.weights, paper.weights, atol=1e-12)


@pytest.mark.parametrize("method, options", [
    (lfa.lime, {}), (lfa.lime, dict(weighting=False)), (lfa.glime, {}),
    (lfa.glime, dict(exclude_full=True))])
def test_the_same_seed_is_the_same_explanation(method, options):
    value = boolean(8)
    np.random.seed(0)
    torch.manual_seed(0)
    state = np.random.get_state()[1].copy()
    torch_state = torch.random.get_rng_state()
    first = method(value, 0, 200, 1., seed=5, **options)
    method(value, 1, 77, 2., seed=6)
    again = method(value, 0, 200, 1., seed=5, **options)
    assert np.array_equal(first.weights, again.weights)
    assert np.array_equal(state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.random.get_rng_state())
    other = method(value, 0, 200, 1., seed=6, **options)
    assert not np.array_equal(first.weights, other.weights)


class Plain:
    """A value function of no base class that gives tensors."""

    n_features = 4
    columns = torch.tensor([[1., 2, 3, 4], [0, 0, 0, 1]])

    def __call__(self, masks):
        present = torch.as_tensor(masks).float()
        return present @ self.columns.T


def test_any_callable_with_n_features_is_a_value_function():
    explanation = lfa.glime(Plain(), 0, 300, sigma=2., alpha=0)
    assert np.allclose(explanation.weights, [1, 2, 3, 4], atol=1e-5)
    assert explanation.n_queries == 300


def test_a_prefix_is_a_smaller_explanation_without_queries():
    value = boolean(9)
    samples = lfa.draw(value, 1, distributions.binomial(1.), 600, seed=2)
    n_queries = value.n_queries
    small = lfa.fit(samples.prefix(150))
    assert value.n_queries == n_queries
    direct = lfa.glime(value, 1, 150, 1., seed=2)
    assert np.array_equal(small.weights, direct.weights)


def test_queries_are_counted_per_call():
    value = boolean(5)
    first = lfa.glime(value, 0, 1000, 1., seed=0)
    second = lfa.glime(value, 0, 1000, 1., seed=0)
    assert 0 < first.n_queries <= 32
    assert second.n_queries == 0
    assert value.n_queries == first.n_queries


@pytest.mark.parametrize("options, words", [
    (dict(sigma=.25), ["all weights vanish", "effective sample size", "increase sigma"]),
    (dict(sigma=.05), ["all weights vanish", "effective sample size"]),
    (dict(sigma=.25, alpha=0), ["one sample outweighs", "effective sample size"])])
def test_vanishing_weights_warn(options, words):
    value = first_feature(60)
    with pytest.warns(lfa.DegenerateFit) as caught:
        explanation = lfa.lime(value, 0, 400, **options)
    message = str(caught[0].message)
    for word in words: assert word in message
    assert np.isfinite(explanation.weights).all()
    assert explanation.effective_sample_size < 5


def test_an_undefined_r2_warns():
    value = first_feature(20)
    with pytest.warns(lfa.DegenerateFit, match="R² is undefined"):
        explanation = lfa.glime(value, 0, 50, sigma=.2)
    assert np.isnan(explanation.r2)
    assert not explanation.weights.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = lfa.glime(value, 0, 200, sigma=.2, exclude_full=True)
    assert explanation.r2 > .5


def test_the_first_sample_can_be_the_input():
    value = boolean(6)
    around = distributions.uniform(1., original_first=True)
    samples = lfa.draw(value, 0, around, 50)
    without = lfa.draw(value, 0, distributions.uniform(1.), 50)
    first, *others = samples.Z
    assert first.all()
    assert np.array_equal(others, without.Z[1:])


class Quadratic:
    """A value function of noise with a known gradient: f(z) = aᵀz + |z|²."""

    n_features = 5
    a = np.array([1., -2, 3, 0, .5])

    def __call__(self, masks): raise AssertionError("distributions of noise do not ask masks")

    def add(self, noise):
        linear = noise @ self.a
        even = (noise**2).sum(1)
        return (linear + even)[:, None]


@pytest.mark.parametrize("distribution", ["gauss", "laplace", "uniform"])
def test_symmetric_noise_recovers_the_gradient(distribution):
    """Stein's lemma (GLIME B.8): the odd part of f survives, the even part averages out."""
    explanation = lfa.glime(
        Quadratic(), 0, 40_000, sigma=1., distribution=distribution, alpha=0)
    per_grey_level = Quadratic.a*distributions.GREY
    assert np.allclose(explanation.weights, per_grey_level, atol=2e-4)


# ALIME

@pytest.mark.parametrize("power", [1, 2])
def test_alime_is_a_weighted_ridge(power):
    table = random_table(6)
    W = np.random.default_rng(3).normal(size=(6, 4))

    def encode(masks): return torch.tanh(torch.as_tensor(masks @ W))

    value = table_value(table)
    explanation = lfa.alime(value, 1, encode, 300, sigma=.8, alpha=.5, seed=4, power=power)
    Z = distributions.uniform().sample(300, 6, 4)
    unperturbed = np.tanh(W.sum(0))
    apart = np.tanh(Z @ W) - unperturbed
    distance = np.sqrt((apart**2).sum(1))
    scaled = distance/.8
    weight = np.exp(-scaled**power)
    y = table[numbers_of(Z), 1]
    model = Ridge(alpha=.5).fit(Z, y, sample_weight=weight)
    assert np.allclose(explanation.weights, model.coef_, atol=1e-6)
    predicted = model.predict(Z)
    assert np.allclose(explanation(Z), predicted, atol=1e-6)


def not_numbers(masks): return np.full((len(masks), 2), np.nan)


def all_alike(masks): return np.ones((len(masks), 2))


def one_column(masks): return masks[:, 0]


def itself(masks): return masks


@pytest.mark.parametrize("encode, options, message", [
    (not_numbers, {}, "encode returned .* NaN or infinite"),
    (all_alike, {}, "the same embedding for all 51 masks"),
    (one_column, {}, r"encode returned shape \(51,\)"),
    (itself, dict(alpha=0, n_samples=6),
     "n_samples is 6 with alpha=0; allowed: more than the 6 features"),
    (itself, dict(power=3), "power is 3; allowed: 1, 2"),
    (itself, dict(sigma=0), "sigma is 0")])
def test_alime_names_what_is_wrong(encode, options, message):
    arguments = dict(n_samples=50) | options
    with pytest.raises(ValueError, match=message):
        lfa.alime(boolean(6), 0, encode, **arguments)


# DLIME

def sum_of_sines(rows): return torch.sin(rows).sum(1)


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_dlime_is_least_squares_on_scikit_learns_cluster(n_clusters):
    generator = np.random.default_rng(n_clusters)
    noise = generator.normal(size=(120, 3))
    groups = generator.integers(0, 2, (120, 1))
    rows = noise + 3*groups
    x = generator.normal(size=3)
    labels = np.zeros(120)
    if n_clusters > 1: labels = AgglomerativeClustering(n_clusters).fit_predict(rows)
    nearest = KNeighborsClassifier(1).fit(rows, labels)
    label, = nearest.predict(x[None])
    own = rows[labels == label]
    y = sum_of_sines(torch.tensor(own))
    expected = LinearRegression().fit(own, y.numpy())
    around = distributions.cluster(rows, x, n_clusters)
    found = lfa.approximate(sum_of_sines, x, around)
    assert np.allclose(found.weights, expected.coef_, atol=1e-9)


# what a fit that says nothing of the model is told, and where

def several(d):
    """A sum of all features, each with its own weight."""
    w = np.random.default_rng(0).standard_normal(d)
    return MaskFunction(lambda masks: masks @ w, d)


def linear(rows): return rows @ torch.arange(1., rows.shape[1] + 1, dtype=rows.dtype)


FEW = {
    "lime": lambda: lfa.lime(several(60), 0, 10, sigma=5., alpha=0),
    "a tiny ridge": lambda: lfa.lime(several(60), 0, 10, sigma=5., alpha=1e-18),
    "glime": lambda: lfa.glime(several(60), 0, 10, sigma=5., alpha=0),
    "doubled samples": lambda: lfa.glime(several(60), 0, 1000, sigma=.35, alpha=0),
    "kernel_shap": lambda: lfa.explain(several(60), 0, distributions.kernel_shap(), 0., 10),
    "a path": lambda: lfa.approximate(linear, np.ones(9), distributions.segment()),
    "rows, lime": lambda: lfa.attribute("lime", linear, np.ones((1, 60)), 4),
    "rows, kernel_shap": lambda: lfa.attribute("kernel_shap", linear, np.ones((1, 60)), 4),
    "rows, c_lime": lambda: lfa.attribute("c_lime", linear, np.ones((1, 60)), 4),
    "rows, adam": lambda: lfa.attribute("lime", linear, np.ones((1, 60)), 5, fit="adam"),
}


@pytest.mark.parametrize("name", FEW)
def test_fewer_samples_than_features_warn(name):
    with pytest.warns(lfa.DegenerateFit, match="determine only") as caught:
        FEW[name]()
    assert {warning.filename for warning in caught} == {__file__}, "the caller's line"


@pytest.mark.parametrize("ask", [
    lambda: lfa.lime(several(20), 0, 200, sigma=5., alpha=0),
    lambda: lfa.lime(several(60), 0, 30, sigma=5.),
    lambda: lfa.explain(several(20), 0, distributions.kernel_shap(), 0., 200),
    lambda: lfa.explain(several(5), 0, distributions.one_out(), 0.),
    lambda: lfa.explain(several(1), 0, distributions.kernel_shap(), 0.),
    lambda: lfa.lime(several(1), 0, 50, sigma=5.),
    lambda: lfa.glime(several(9), 0, 1000, sigma=.5),
    lambda: lfa.attribute("kernel_shap", linear, np.ones((1, 1))),
    lambda: lfa.attribute("occlusion", linear, np.ones((3, 6)))])
def test_enough_samples_do_not(ask):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask()


@pytest.mark.parametrize("d", [3, 5])
def test_samples_of_the_unperturbed_input_do_not_count(d):
    """At d = 3 every eighth mask is the full one, of weight 1: the others weigh nothing."""
    with pytest.warns(lfa.DegenerateFit, match="all weights vanish: those of perturbed inputs"):
        explanation = lfa.lime(several(d), 0, 1000, preset="paper")
    assert explanation.total_weight > 1
    assert np.abs(explanation.weights).max() < 1e-3


@pytest.mark.parametrize("level", [.1, .5, 1.])
@pytest.mark.parametrize("method, options", [
    (lfa.lime, dict(sigma=5.)), (lfa.lime, dict(sigma=5., alpha=0)), (lfa.glime, dict(sigma=1.)),
    (lfa.glime, dict(sigma=1., exclude_full=True))])
def test_what_is_said_of_constant_scores(method, options, level):
    value = MaskFunction(lambda masks: np.full((len(masks), 2), level), 8)
    with pytest.warns(lfa.DegenerateFit) as caught:
        explanation = method(value, 0, 100, **options)
    assert not explanation.weights.any()
    assert explanation.intercept == level or np.isclose(explanation.intercept, level)
    (message,) = [str(warning.message) for warning in caught]
    assert "do not vary over the 100 samples" in message
    assert "passed through" not in message
    assert "exclude_full" not in message


def test_exclude_full_is_advised_where_nothing_was_perturbed():
    with pytest.warns(lfa.DegenerateFit, match="unperturbed input.*use exclude_full=True"):
        lfa.glime(several(10), 0, 20, sigma=.2)
    with pytest.raises(ValueError, match="are one perturbation"):
        lfa.lime(several(8), 0, 500, sigma=1e-3, alpha=0)


def test_prefixes_of_what_is_no_sample():
    value = boolean(4)
    every = lfa.draw(value, 0, distributions.exhaustive())
    assert every.prefix(5) is every
    nodes = lfa.Samples(
        distributions.segment().sample(20, 1, 0), np.arange(20.), distributions.segment(), 20)
    assert nodes.prefix(20) is nodes
    with pytest.raises(ValueError, match="n is 5; allowed: 20"):
        nodes.prefix(5)


def test_a_path_of_too_few_nodes_says_so():
    def bent(rows): return torch.sigmoid(20*rows.sum(1) - 10)

    X = np.full((2, 3), .4)
    with pytest.warns(lfa.DegenerateFit, match=r"sum to .*, which is not f\(x\) - f\(baseline\)"):
        lfa.attribute("integrated_gradients", bent, X, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lfa.attribute("integrated_gradients", bent, X, 64)
        lfa.attribute("integrated_gradients", bent, X, 64, a=.3)
