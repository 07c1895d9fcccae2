"""Distributions, prefixes and isolation of the samplers; distributions as values."""
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xai_repro.explain import distributions as D

ROWS = {
    "uniform": D.uniform(.7),
    "binomial": D.binomial(.7),
    "binomial k<d": D.binomial(.3, exclude_full=True),
    "shapley": D.shapley(),
    "cosine": D.cosine(),
    "gauss": D.gauss(.5),
    "laplace": D.laplace(.5),
    "box": D.box(.5),
    "original first": D.uniform(1., original_first=True),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
counts = st.integers(0, 40)


@each_row
@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), more=counts, d=st.integers(2, 30), seed=st.integers(0, 2**31))
def test_a_smaller_sample_is_a_prefix(row, n, more, d, seed):
    longer = row.sample(n + more, d, seed)
    assert np.array_equal(row.sample(n, d, seed), longer[:n])


@each_row
def test_draws_are_isolated_from_order_and_global_state(row):
    np.random.seed(1)
    torch.manual_seed(1)
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    first = row.sample(50, 9, 7)
    D.gauss(1.).sample(13, 4, 99)
    assert np.array_equal(first, row.sample(50, 9, 7))
    assert not np.array_equal(first, row.sample(50, 9, 8))
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


# distributions are values

def half(Z):
    return Z[:, :3]*.5


TABLE = np.random.default_rng(0).random((12, 5))
MAKERS = {
    "uniform": lambda sigma: D.uniform(sigma, kernel="official"),
    "binomial": lambda sigma: D.binomial(sigma, exclude_full=True),
    "binomial, cosine": lambda sigma: D.binomial(sigma, distance="cosine"),
    "cosine": D.cosine,
    "gauss": D.gauss,
    "laplace": D.laplace,
    "box": D.box,
    "normal": D.normal,
    "bernoulli": D.bernoulli,
    "exhaustive": lambda sigma: D.exhaustive(D.exponential(sigma)),
    "embedded": lambda sigma: D.embedded(half, sigma),
    "segment": D.segment,
    "drawn segment": lambda a: D.segment(a, quadrature=False),
    "cluster": lambda sigma: D.cluster(TABLE, TABLE[0] + sigma, 2),
}
CONSTANTS = {
    "shapley": D.shapley,
    "kernel_shap": D.kernel_shap,
    "kernel_shap, bernoulli": lambda: D.kernel_shap("bernoulli"),
    "kernel_shap, exhaustive": lambda: D.kernel_shap("exhaustive"),
    "one_out": D.one_out,
    "here": D.here,
    "here, scaled": lambda: D.here("scale"),
}


def is_the_same(row, other):
    Z = row.sample(9, 5, 3)
    same_draws = np.array_equal(Z, other.sample(9, 5, 3))
    same_weights = np.array_equal(row.log_weight(Z), other.log_weight(Z))
    return row == other and hash(row) == hash(other) and same_draws and same_weights


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_equal_options_make_equal_distributions(make):
    row = make(.5)
    assert is_the_same(row, make(.5))
    assert is_the_same(row, pickle.loads(pickle.dumps(row)))
    assert row != make(.25)


@pytest.mark.parametrize("make", CONSTANTS.values(), ids=CONSTANTS)
def test_distributions_without_options_are_equal(make):
    row = make()
    assert is_the_same(row, make())
    assert is_the_same(row, pickle.loads(pickle.dumps(row)))


def test_different_distributions_are_different():
    rows = [make(.5) for make in MAKERS.values()] + [make() for make in CONSTANTS.values()]
    assert len(set(rows)) == len(rows)


# probabilities and weights

def expected_probabilities(row, d):
    """Probability of every mask, written down independently of the sampler."""
    k = D.all_masks(d).sum(1)
    if row == "uniform":
        return np.full(2**d, 2.**-d)
    if row == "binomial":
        p = 1/(1 + np.exp(-1/.7**2))
        return p**k*(1 - p)**(d - k)
    if row == "binomial k<d":
        shares = np.where(k < d, np.exp(k/.3**2), 0)
        return shares/shares.sum()
    is_inside = (k > 0) & (k < d)
    masks_of_size = stats.binom.pmf(k, d, .5)*2**d
    one_over = np.where(is_inside, masks_of_size*k*(d - k), 1)
    shares = np.where(is_inside, 1/one_over, 0)
    return shares/shares.sum()


@pytest.mark.parametrize("name", ["uniform", "binomial", "binomial k<d", "shapley"])
def test_every_mask_has_its_probability(name):
    d, n = 5, 200_000
    indices = ROWS[name].sample(n, d, 0) @ (1 << np.arange(d))
    observed = np.bincount(indices, minlength=2**d)
    expected = expected_probabilities(name, d)*n
    assert not observed[expected == 0].any()
    is_frequent = expected > 5
    observed, expected = observed[is_frequent], expected[is_frequent]
    scaled = expected*observed.sum()/expected.sum()
    assert stats.chisquare(observed, scaled).pvalue > .001


@settings(max_examples=50, deadline=None)
@given(logs=st.lists(st.floats(-2000, 0), min_size=1, max_size=30))
def test_effective_sample_size_is_between_1_and_n(logs):
    size = D.effective_sample_size(np.array(logs))
    assert 1 - 1e-9 <= size <= len(logs) + 1e-9


def test_kernels_are_the_papers_and_the_packages():
    from lime.lime_image import LimeImageExplainer
    masks = D.all_masks(6)
    distance = np.sqrt((~masks).sum(1))
    theirs = LimeImageExplainer(kernel_width=.8).base.kernel_fn(distance)   # lime's distance l2
    official = np.exp(D.exponential(.8, "official")(masks))
    paper = np.exp(D.exponential(.8, "paper")(masks))
    assert np.allclose(official, theirs, rtol=1e-12)
    assert np.allclose(paper, np.exp((masks.sum(1) - 6)/.8**2), rtol=1e-12)


def test_the_cosine_kernel_is_the_packages():
    from lime.lime_image import LimeImageExplainer
    from sklearn.metrics import pairwise_distances
    masks = np.concatenate([np.ones((1, 6), bool), D.all_masks(6)])
    numbers = masks.astype(float)
    distance = pairwise_distances(numbers, numbers[:1], metric="cosine").ravel()
    theirs = LimeImageExplainer(kernel_width=.25).base.kernel_fn(distance)
    ours = np.exp(D.cosine(.25).log_weight(masks))
    assert np.abs(ours - theirs).max() < 1e-8


def test_shapley_kernel_weights():
    from shapley_reference import shapley_weight
    masks = D.all_masks(5)
    weights = np.exp(D.shapley_kernel(masks, ends=1e6))
    for mask, weight in zip(masks, weights, strict=True):
        assert weight == pytest.approx(shapley_weight(5, mask.sum()), rel=1e-12)
    is_end = masks.all(1) | ~masks.any(1)
    is_infinite = np.isposinf(D.shapley_kernel(masks))
    assert np.array_equal(is_infinite, is_end), "by default the ends are constraints"


def test_many_draws_are_the_same_stream():
    """Masks are drawn in blocks for the memory's sake: the draws do not depend on it."""
    n = 2*D._ROWS + 5
    u = np.random.default_rng(4).random((n, 7))
    p = np.exp(D.log_binomial(6))
    cumulative = p.cumsum()/p.sum()
    size = np.searchsorted(cumulative, u[:, 0], side="right")
    rank = u[:, 1:].argsort(1).argsort(1)
    assert np.array_equal(D.uniform().sample(n, 6, 4), rank < size[:, None])


# balls

def of_one_norm(d):
    return stats.beta(1, d)


def of_two_norm(d):
    return stats.beta(.5, (d + 1)/2)


def of_maximum_norm(d):
    return stats.beta(1, 1)


# norm -> distribution of |x₁|/r, for the 2-norm of its square
FIRST = {1: of_one_norm, 2: of_two_norm, "inf": of_maximum_norm}
ORDERS = {1: 1, 2: 2, "inf": np.inf}


def second_moment(norm, d, r):
    """E x_j², exact."""
    return {1: 2*r**2/((d + 1)*(d + 2)), 2: r**2/(d + 2), "inf": r**2/3}[norm]


@pytest.mark.parametrize("norm", FIRST)
@pytest.mark.parametrize("d", [2, 3, 20, 200])
def test_points_are_uniform_in_the_ball(norm, d):
    r, n = 2.5, 4000
    x = D.ball(n, d, norm, r, seed=d)
    length = np.linalg.norm(x, ORDERS[norm], axis=1)
    assert length.max() <= r
    assert stats.kstest((length/r)**d, "uniform").pvalue > 1e-3
    for j in (0, d - 1):
        share = np.abs(x[:, j])/r
        statistic = share**2 if norm == 2 else share
        assert stats.kstest(statistic, FIRST[norm](d).cdf).pvalue > 1e-3
    tolerance = 6*np.sqrt(6/(n*d))
    assert (x**2).mean() == pytest.approx(second_moment(norm, d, r), rel=tolerance)
    correlation = np.corrcoef(x[:, 0], x[:, 1])[0, 1]
    assert np.abs(correlation) < 5/np.sqrt(n)
    assert (x[:, 0] < 0).mean() == pytest.approx(.5, abs=.04)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"norm": 3}, "norm is 3; allowed: 1, 2, inf"),
        ({"radius": 0}, "radius is 0; allowed: a finite number above 0"),
        ({"radius": -1.}, "radius is -1.0"),
        ({"n": 0}, "n is 0"),
        ({"d": 0}, "d is 0"),
    ],
)
def test_bad_arguments_of_a_ball_are_refused(wrong, message):
    arguments = {"n": 3, "d": 3} | wrong
    with pytest.raises(ValueError, match=message):
        D.ball(**arguments)
