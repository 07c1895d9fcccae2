"""Distributions, prefixes and isolation of the samplers; distributions as values."""
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xai_repro.explain.distributions import (
    _ROWS,
    all_masks,
    ball,
    bernoulli,
    binomial,
    box,
    cluster,
    cosine,
    effective_sample_size,
    embedded,
    exhaustive,
    exponential,
    gauss,
    here,
    kernel_shap,
    laplace,
    log_binomial,
    normal,
    one_out,
    segment,
    shapley,
    shapley_kernel,
    uniform,
)

ROWS = {
    "uniform": uniform(.7),
    "binomial": binomial(.7),
    "binomial k<d": binomial(.3, exclude_full=True),
    "shapley": shapley(),
    "cosine": cosine(),
    "gauss": gauss(.5),
    "laplace": laplace(.5),
    "box": box(.5),
    "original first": uniform(1., original_first=True),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
counts = st.integers(0, 40)


@each_row
@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), more=counts, d=st.integers(2, 30), seed=st.integers(0, 2**31))
def test_a_smaller_sample_is_a_prefix(row, n, more, d, seed):
    shorter = row.sample(n, d, seed)
    longer = row.sample(n + more, d, seed)
    assert np.array_equal(shorter, longer[:n])


@each_row
def test_draws_are_isolated_from_order_and_global_state(row):
    np.random.seed(1)
    torch.manual_seed(1)
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    first = row.sample(50, 9, 7)
    gauss(1.).sample(13, 4, 99)
    again = row.sample(50, 9, 7)
    other = row.sample(50, 9, 8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


# distributions are values

def half(Z):
    return Z[:, :3]*.5


TABLE = np.random.default_rng(0).random((12, 5))
MASKS = [
    (uniform, {"sigma": .5, "kernel": "official"}),
    (binomial, {"sigma": .5}),
    (binomial, {"sigma": .5, "exclude_full": True}),
    (binomial, {"sigma": .5, "distance": "cosine"}),
    (cosine, {"sigma": .5}),
    (bernoulli, {"kernel_width": .5}),
    (embedded, {"encode": half, "sigma": .5}),
    (exhaustive, {"log_weight": exponential(.5)}),
]
NUMBERS = [
    (gauss, {"sigma": .5}),
    (laplace, {"sigma": .5}),
    (box, {"sigma": .5}),
    (normal, {"sigma": .5}),
    (segment, {"a": .5}),
    (segment, {"a": .5, "quadrature": False}),
    (here, {"operator": "scale"}),
    (cluster, {"rows": TABLE, "x": TABLE[0], "n_clusters": 2}),
]
DEFAULTS = [
    (uniform, {}),
    (binomial, {}),
    (exhaustive, {}),
    (shapley, {}),
    (kernel_shap, {}),
    (kernel_shap, {"sampling": "bernoulli"}),
    (kernel_shap, {"sampling": "exhaustive"}),
    (one_out, {}),
    (here, {}),
    (segment, {}),
    (cluster, {"rows": TABLE, "x": TABLE[1], "n_clusters": 2}),
]
ALL = [*MASKS, *NUMBERS, *DEFAULTS]


def draws_the_same(row, other):
    Z = row.sample(9, 5, 3)
    weights = row.log_weight(Z)
    same_draws = np.array_equal(Z, other.sample(9, 5, 3))
    return same_draws and np.array_equal(weights, other.log_weight(Z))


@pytest.mark.parametrize("make, options", ALL)
def test_equal_options_make_equal_distributions(make, options):
    row = make(**options)
    again = make(**options)
    assert row == again
    assert hash(row) == hash(again)
    assert draws_the_same(row, again)


@pytest.mark.parametrize("make, options", ALL)
def test_a_distribution_is_pickled(make, options):
    row = make(**options)
    copy = pickle.loads(pickle.dumps(row))
    assert row == copy
    assert hash(row) == hash(copy)
    assert draws_the_same(row, copy)


def test_different_options_make_different_distributions():
    rows = [make(**options) for make, options in ALL]
    assert len(set(rows)) == len(rows)


# probabilities and weights

def expected_probabilities(row, d):
    """Probability of every mask, written down independently of the sampler."""
    k = all_masks(d).sum(1)
    if row == "uniform":
        return np.full(2**d, 2.**-d)
    if row == "binomial":
        q = np.exp(-1/.7**2)
        p = 1/(1 + q)
        return p**k*(1 - p)**(d - k)
    if row == "binomial k<d":
        weight = np.exp(k/.3**2)
        weight[k == d] = 0
        return weight/weight.sum()
    n_masks = stats.binom.pmf(k, d, .5)*2**d    # of the same size
    weight = np.zeros(2**d)
    is_inside = (k > 0) & (k < d)
    np.divide(1, n_masks*k*(d - k), where=is_inside, out=weight)
    return weight/weight.sum()


@pytest.mark.parametrize("name", ["uniform", "binomial", "binomial k<d", "shapley"])
def test_every_mask_has_its_probability(name):
    d, n = 5, 200_000
    masks = ROWS[name].sample(n, d, 0)
    bits = 1 << np.arange(d)
    counted = np.bincount(masks @ bits, minlength=2**d)
    expected = expected_probabilities(name, d)*n
    is_impossible = expected == 0
    assert not counted[is_impossible].any()
    is_frequent = expected > 5
    counted = counted[is_frequent]
    expected = expected[is_frequent]
    scaled = expected*counted.sum()/expected.sum()
    assert stats.chisquare(counted, scaled).pvalue > .001


@settings(max_examples=50, deadline=None)
@given(logs=st.lists(st.floats(-2000, 0), min_size=1, max_size=30))
def test_effective_sample_size_is_between_1_and_n(logs):
    size = effective_sample_size(np.array(logs))
    assert 1 - 1e-9 <= size <= len(logs) + 1e-9


def test_kernels_are_the_papers_and_the_packages():
    from lime.lime_image import LimeImageExplainer
    masks = all_masks(6)
    n_absent = (~masks).sum(1)
    lime = LimeImageExplainer(kernel_width=.8).base
    theirs = lime.kernel_fn(np.sqrt(n_absent))           # lime's distance l2
    official = exponential(.8, "official")
    paper = exponential(.8, "paper")
    assert np.allclose(np.exp(official(masks)), theirs, rtol=1e-12)
    printed = np.exp(-n_absent/.8**2)
    assert np.allclose(np.exp(paper(masks)), printed, rtol=1e-12)


def test_the_cosine_kernel_is_the_packages():
    from lime.lime_image import LimeImageExplainer
    from sklearn.metrics import pairwise_distances
    masks = all_masks(6)
    numbers = masks.astype(float)
    full = np.ones((1, 6))
    distances = pairwise_distances(numbers, full, metric="cosine")
    lime = LimeImageExplainer(kernel_width=.25).base
    theirs = lime.kernel_fn(distances[:, 0])
    ours = np.exp(cosine(.25).log_weight(masks))
    assert np.abs(ours - theirs).max() < 1e-8


def test_shapley_kernel_weights():
    from shapley_reference import shapley_weight
    masks = all_masks(5)
    weights = np.exp(shapley_kernel(masks, ends=1e6))
    for mask, weight in zip(masks, weights, strict=True):
        expected = shapley_weight(5, mask.sum())
        assert weight == pytest.approx(expected, rel=1e-12)
    is_end = masks.all(1) | ~masks.any(1)
    is_infinite = np.isposinf(shapley_kernel(masks))
    assert np.array_equal(is_infinite, is_end), "by default the ends are constraints"


def test_many_draws_are_the_same_stream():
    """Masks are drawn in blocks for the memory's sake: the draws do not depend on it."""
    n = 2*_ROWS + 5
    u = np.random.default_rng(4).random((n, 7))
    p = np.exp(log_binomial(6))
    cumulative = p.cumsum()/p.sum()
    size = np.searchsorted(cumulative, u[:, 0], side="right")
    rank = u[:, 1:].argsort(1).argsort(1)
    expected = rank < size[:, None]
    drawn = uniform().sample(n, 6, 4)
    assert np.array_equal(drawn, expected)


# balls

@pytest.mark.parametrize("d", [2, 3, 20, 200])
class TestBall:
    """4000 points in the ball of radius 2.5: lengths, coordinates and second moments, exact."""
    n = 4000
    radius = 2.5

    def check_lengths(self, x, order):
        share = np.linalg.norm(x, order, axis=1)/self.radius
        assert share.max() <= 1
        assert is_distributed(share**x.shape[1], "uniform")

    def check_second_moment(self, x, expected):
        rel = 6*np.sqrt(6/x.size)
        mean = (x**2).mean()
        assert mean == pytest.approx(expected*self.radius**2, rel=rel)

    def check_coordinates(self, x):
        first, last = x[:, 0], x[:, -1]
        correlation, _ = stats.pearsonr(first, last)
        assert abs(correlation) < 5/np.sqrt(self.n)
        is_negative = first < 0
        assert is_negative.mean() == pytest.approx(.5, abs=.04)

    def coordinates(self, x):
        """Of the first and the last coordinate, the distance from 0 as a share of the radius."""
        shares = np.abs(x)/self.radius
        return [shares[:, 0], shares[:, -1]]

    def test_norm_1(self, d):
        x = ball(self.n, d, 1, self.radius, seed=d)
        self.check_lengths(x, 1)
        self.check_coordinates(x)
        self.check_second_moment(x, 2/((d + 1)*(d + 2)))
        for share in self.coordinates(x):
            assert is_distributed(share, stats.beta(1, d).cdf)

    def test_norm_2(self, d):
        x = ball(self.n, d, 2, self.radius, seed=d)
        self.check_lengths(x, 2)
        self.check_coordinates(x)
        self.check_second_moment(x, 1/(d + 2))
        for share in self.coordinates(x):
            assert is_distributed(share**2, stats.beta(.5, (d + 1)/2).cdf)

    def test_maximum_norm(self, d):
        x = ball(self.n, d, "inf", self.radius, seed=d)
        self.check_lengths(x, np.inf)
        self.check_coordinates(x)
        self.check_second_moment(x, 1/3)
        for share in self.coordinates(x):
            assert is_distributed(share, "uniform")


def is_distributed(sample, expected):
    return stats.kstest(sample, expected).pvalue > 1e-3


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
        ball(**arguments)
