"Laws, prefixes and isolation of the samplers."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

from xai_repro.explain import distributions as N

ROWS = {"uniform": N.uniform(.7), "binomial": N.binomial(.7), "binomial k<d": N.binomial(.3, exclude_full=True), "shapley": N.shapley(),
        "cosine": N.cosine(), "gauss": N.gauss(.5), "laplace": N.laplace(.5), "box": N.box(.5), "original first": N.uniform(1., original_first=True)}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), more=st.integers(0, 40), d=st.integers(2, 30), seed=st.integers(0, 2**31))
def test_a_smaller_sample_is_a_prefix(row, n, more, d, seed):
    assert np.array_equal(row.sample(n, d, seed), row.sample(n + more, d, seed)[:n])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_draws_are_isolated_from_order_and_global_state(row):
    np.random.seed(1); torch.manual_seed(1)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = row.sample(50, 9, 7)
    N.gauss(1.).sample(13, 4, 99)
    assert np.array_equal(first, row.sample(50, 9, 7)) and not np.array_equal(first, row.sample(50, 9, 8))
    assert np.array_equal(states[0], np.random.get_state()[1]) and torch.equal(states[1], torch.get_rng_state())


def expected_law(row, d):
    "Probability of every mask, written down independently of the sampler."
    k = N.all_masks(d).sum(1)
    if row == "uniform": return np.full(2**d, 2.**-d)
    if row == "binomial": p = 1/(1 + np.exp(-1/.7**2)); return p**k*(1 - p)**(d - k)
    if row == "binomial k<d": law = np.where(k < d, np.exp(k/.3**2), 0); return law/law.sum()
    inside = (k > 0) & (k < d)
    law = np.where(inside, 1/np.where(inside, stats.binom.pmf(k, d, .5)*2**d*k*(d - k), 1), 0); return law/law.sum()


@pytest.mark.parametrize("name", ["uniform", "binomial", "binomial k<d", "shapley"])
def test_every_mask_has_its_probability(name):
    d, n = 5, 200_000
    counts = np.bincount(ROWS[name].sample(n, d, 0) @ (1 << np.arange(d)), minlength=2**d)
    law = expected_law(name, d)
    assert not counts[law == 0].any()
    assert stats.chisquare(counts[law*n > 5], (law*n)[law*n > 5]*counts[law*n > 5].sum()/(law*n)[law*n > 5].sum()).pvalue > .001


@settings(max_examples=50, deadline=None)
@given(logs=st.lists(st.floats(-2000, 0), min_size=1, max_size=30))
def test_effective_sample_size_is_between_1_and_n(logs):
    size = N.effective_sample_size(np.array(logs))
    assert 1 - 1e-9 <= size <= len(logs) + 1e-9


def test_kernels_are_the_papers_and_the_packages():
    from lime.lime_image import LimeImageExplainer
    masks = N.all_masks(6); absent = (~masks).sum(1)
    theirs = LimeImageExplainer(kernel_width=.8).base.kernel_fn(np.sqrt(absent))        # lime with distance l2
    assert np.allclose(np.exp(N.exponential(.8, "official")(masks)), theirs, rtol=1e-12)
    assert np.allclose(np.exp(N.exponential(.8, "paper")(masks)), np.exp((masks.sum(1) - 6)/.8**2), rtol=1e-12)


def test_the_cosine_kernel_is_the_packages():
    from lime.lime_image import LimeImageExplainer
    from sklearn.metrics import pairwise_distances
    masks = np.concatenate([np.ones((1, 6), bool), N.all_masks(6)])
    theirs = LimeImageExplainer(kernel_width=.25).base.kernel_fn(pairwise_distances(masks.astype(float), masks[:1].astype(float), metric="cosine").ravel())
    assert np.abs(np.exp(N.cosine(.25).log_weight(masks)) - theirs).max() < 1e-8


def test_shapley_kernel_weights():
    from shapley_reference import shapley_weight
    masks = N.all_masks(5)
    for mask, log_weight in zip(masks, N.shapley_kernel(masks, ends=1e6)): assert np.exp(log_weight) == pytest.approx(shapley_weight(5, mask.sum()), rel=1e-12)
    assert np.array_equal(np.isposinf(N.shapley_kernel(masks)), masks.all(1) | ~masks.any(1)), "by default the ends are constraints"


# balls

FIRST = {1: lambda d: stats.beta(1, d), 2: lambda d: stats.beta(.5, (d + 1)/2), "inf": lambda d: stats.beta(1, 1)}     # of |x₁|/r, for the 2-norm of its square


@pytest.mark.parametrize("norm", FIRST)
@pytest.mark.parametrize("d", [2, 3, 20, 200])
def test_points_are_uniform_in_the_ball(norm, d):
    r, n = 2.5, 4000
    x = N.ball(n, d, norm, r, seed=d)
    length = np.linalg.norm(x, {1: 1, 2: 2, "inf": np.inf}[norm], axis=1)
    assert length.max() <= r and stats.kstest((length/r)**d, "uniform").pvalue > 1e-3
    for j in (0, d - 1):
        first = np.abs(x[:, j])/r
        assert stats.kstest(first**2 if norm == 2 else first, FIRST[norm](d).cdf).pvalue > 1e-3
    second = {1: 2*r**2/((d + 1)*(d + 2)), 2: r**2/(d + 2), "inf": r**2/3}[norm]                                         # E x_j², exact
    assert (x**2).mean() == pytest.approx(second, rel=6*np.sqrt(6/(n*d)))
    assert np.abs(np.corrcoef(x[:, 0], x[:, 1])[0, 1]) < 5/np.sqrt(n) and (x[:, 0] < 0).mean() == pytest.approx(.5, abs=.04)


@pytest.mark.parametrize("wrong, message", [(dict(norm=3), "norm is 3; allowed: 1, 2, inf"), (dict(radius=0), "radius is 0; allowed: a finite number above 0"),
                                            (dict(radius=-1.), "radius is -1.0"), (dict(n=0), "n is 0"), (dict(d=0), "d is 0")])
def test_a_ball_that_is_none(wrong, message):
    with pytest.raises(ValueError, match=message): N.ball(**(dict(n=3, d=3) | wrong))


def test_many_draws_are_the_same_stream():
    "Drawn in blocks for the memory's sake: what is drawn does not know."
    n = 2*N._ROWS + 5
    u = np.random.default_rng(4).random((n, 7))
    law = np.exp(N.log_binomial(6)); law = law.cumsum()/law.sum()
    expected = u[:, 1:].argsort(1).argsort(1) < np.searchsorted(law, u[:, 0], side="right")[:, None]
    assert np.array_equal(N.uniform().sample(n, 6, 4), expected)
