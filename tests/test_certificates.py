"Certificates on functions whose stability is known by enumeration."
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from xai_repro.evaluate import certificates as C
from xai_repro.value import MaskFunction
from xai_repro.explain.distributions import all_masks


def boolean(d, seed=0, K=3, smooth=0.):
    "A random value function of d features with probabilities over K classes."
    table = np.random.default_rng(seed).dirichlet(np.ones(K), 2**d)
    return MaskFunction(lambda m: table[m @ (1 << np.arange(d))], d, batch_size=1000)


def delta_set(alpha, radius):
    "Δ_r(alpha) by itertools: the indices of its masks."
    free, base = np.flatnonzero(~alpha), int(alpha @ (1 << np.arange(len(alpha))))
    return [base + sum(1 << int(i) for i in c) for k in range(radius + 1) for c in combinations(free, k)]


# the sampler

@pytest.mark.parametrize("bits, radius", [("00000000", 3), ("10010000", 6), ("10110", 2), ("0", 1), ("1010", 1), ("11110", 1)])
def test_every_element_is_equally_likely(bits, radius):
    alpha = np.array([b == "1" for b in bits])
    drawn = C.sample_additive(alpha, radius, 200_000, seed=3) @ (1 << np.arange(len(alpha)))
    members = delta_set(alpha, radius)
    found, counts = np.unique(drawn, return_counts=True)
    assert set(found) == set(members)
    assert stats.chisquare(counts).pvalue > .001


@pytest.mark.parametrize("radius", [0, 1, 37, 1000, 2000])
def test_two_thousand_features(radius):
    "The law of sizes against integers of any length."
    m = 2000
    total = sum(comb(m, j) for j in range(radius + 1))
    exact = np.array([comb(m, j)*10**40//total/1e40 if j <= radius else 0 for j in range(m + 1)])
    assert np.allclose(C.size_law(m, radius), exact, rtol=1e-9, atol=1e-12)
    drawn = C.sample_additive(np.zeros(m, bool), radius, 300, seed=1).sum(1)
    mean, sd = exact @ np.arange(m + 1), np.sqrt(exact @ np.arange(m + 1)**2 - (exact @ np.arange(m + 1))**2)
    assert drawn.max() <= radius and abs(drawn.mean() - mean) <= 4*sd/np.sqrt(300) + 1e-9


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 40), seed=st.integers(0, 10**6), n=st.integers(1, 30), data=st.data())
def test_draws_contain_alpha_and_keep_the_radius(d, seed, n, data):
    alpha = np.random.default_rng(seed).random(d) < .5
    radius = data.draw(st.integers(0, int((~alpha).sum())))
    state = np.random.get_state()[1].copy()
    drawn = C.sample_additive(alpha, radius, n, seed)
    assert drawn.shape == (n, d) and drawn[:, alpha].all() and ((drawn & ~alpha).sum(1) <= radius).all()
    assert np.array_equal(drawn[:n//2 + 1], C.sample_additive(alpha, radius, n//2 + 1, seed)) and np.array_equal(state, np.random.get_state()[1])


# rates

@pytest.mark.parametrize("seed", range(4))
def test_exact_stability_is_the_definition(seed):
    value, alpha = boolean(7, seed), np.random.default_rng(seed).random(7) < .4
    scores = value(all_masks(7))
    for radius in range(int((~alpha).sum()) + 1):
        members = delta_set(alpha, radius)
        assert C.exact_stability(value, alpha, radius) == pytest.approx((scores[members].argmax(1) == scores[members[0]].argmax()).mean(), abs=1e-12)


@pytest.mark.parametrize("interval", C.INTERVALS)
@pytest.mark.parametrize("eps, delta", [(.1, .1), (.08, .2)])
def test_the_guarantee_over_a_thousand_repetitions(interval, eps, delta):
    "On 20 random functions, 50 seeds each: within eps at least 1 - delta of the time (they are conservative), and the interval covers as often."
    wrong, missed, used = 0, 0, []
    for seed in range(20):
        d = int(np.random.default_rng(seed).integers(4, 11))
        value, alpha = boolean(d, seed, K=2), np.random.default_rng(seed + 100).random(d) < .3
        radius = max(1, int((~alpha).sum())//2) if (~alpha).any() else 0
        exact = C.exact_stability(value, alpha, radius)
        for repeat in range(50):
            found = C.soft_stability(value, alpha, radius, eps, delta, seed=1000*seed + repeat, interval=interval)
            wrong += abs(found.rate - exact) > eps + 1e-12
            missed += not found.interval[0] - 1e-12 <= exact <= found.interval[1] + 1e-12
            used.append(found.n_samples)
    assert wrong <= delta*1000 and missed <= delta*1000
    assert max(used) <= C.hoeffding_size(eps, delta)
    if interval == "anytime": assert np.mean(used) < C.hoeffding_size(eps, delta)


def test_the_anytime_interval_holds_at_every_look():
    "1,500 sequences of 300 draws: the true rate leaves the interval at any time in at most delta of them."
    rng, delta, n = np.random.default_rng(0), .1, np.arange(1, 301)
    for rate in (.02, .3, .5, .9, .99):
        s = (rng.random((1500, 300)) < rate).cumsum(1)
        low, high = C.anytime(s, n, delta)
        assert ((low > rate) | (high < rate)).any(1).mean() <= delta


@pytest.mark.parametrize("n, eps", [(7, .2), (30, .1), (70, .1), (100, .05), (33, .15)])
def test_exact_error_is_the_worst_over_all_rates(n, eps):
    shares = np.arange(n + 1)/n
    rates = np.concatenate([np.linspace(0, 1, 5001), shares - eps - 1e-8, shares + eps + 1e-8])
    rates = rates[(rates >= 0) & (rates <= 1)]
    k = np.arange(n + 1)
    error = np.array([stats.binom.pmf(k, n, p)[np.abs(k/n - p) > eps + 1e-10].sum() for p in rates])
    assert C.exact_error(n, eps) == pytest.approx(error.max(), abs=2e-5) and error.max() <= C.exact_error(n, eps) + 1e-9


def test_sizes():
    assert C.hoeffding_size(.1, .1) == 150 and C.hoeffding_size(.05, .05) == 738        # the paper, and its tutorial
    for eps, delta in ((.1, .1), (.05, .05), (.1, .01), (.3, .5)):
        n, (cap, spent) = C.exact_size(eps, delta), C.sequential_plan(eps, delta)
        assert n <= C.hoeffding_size(eps, delta) and cap <= C.hoeffding_size(eps, delta) and C.exact_error(n, eps) <= delta
        assert spent + C.exact_error(cap, eps) == pytest.approx(delta)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 400), data=st.data(), delta=st.floats(.001, .5))
def test_intervals_hold_the_share_and_mirror(n, data, delta):
    s = data.draw(st.integers(0, n))
    for kind in C.INTERVALS.values():
        low, high = kind(s, n, delta)
        again = kind(n - s, n, delta)
        assert 0 <= low <= s/n + 1e-9 and s/n - 1e-9 <= high <= 1 and np.allclose([low, high], [1 - again[1], 1 - again[0]], atol=1e-7)


def test_clopper_pearson_is_scipys():
    for s, n in ((0, 10), (3, 10), (10, 10), (77, 150)):
        theirs = stats.binomtest(s, n).proportion_ci(.9, "exact")
        assert np.allclose(C.clopper_pearson(s, n, .1), (theirs.low, theirs.high), atol=1e-9)


# the curve

def test_the_curve_is_unbiased_and_covers():
    value, alpha = boolean(9, 5, K=2), np.arange(9) < 2
    exact = np.array([C.exact_stability(value, alpha, r) for r in range(1, 8)])
    curves = [C.stability_curve(value, alpha, n_samples=60, seed=s) for s in range(600)]
    rates = np.array([c.rates for c in curves])
    assert (np.abs(rates.mean(0) - exact) <= 4*rates.std(0)/np.sqrt(600) + 1e-12).all()
    covered = np.mean([(c.low <= exact) & (exact <= c.high) for c in curves], axis=0)
    assert (covered >= .9).all()


def test_the_curve_keeps_eps_at_every_radius_and_saves():
    value, alpha = boolean(10, 2), np.arange(10) < 2
    curve = C.stability_curve(value, alpha, eps=.08, delta=.1)
    assert (curve.high - curve.low <= 2*.08 + 1e-9).all()
    assert curve.n_samples < C.hoeffding_size(.08, .1)*8 and curve.n_samples == curve.at_size.n.sum()
    one = C.stability_curve(value, alpha, radii=[3], eps=.08, delta=.1)
    assert one.n_samples <= C.hoeffding_size(.08, .1) + 3, "one radius costs what Theorem 3.1 says, up to rounding up each size"


def test_enough_draws_make_the_curve_exact():
    value, alpha = boolean(6, 1), np.arange(6) < 2
    curve = C.stability_curve(value, alpha, n_samples=60_000)
    assert np.abs(curve.rates - [C.exact_stability(value, alpha, r) for r in (1, 2, 3, 4)]).max() < .01
    at_size = curve.at_size.set_index("size").rate
    scores = value(all_masks(6)); base = scores[3].argmax()
    for k in range(1, 5):
        masks = [3 + sum(1 << int(i) for i in c) for c in combinations(range(2, 6), k)]
        assert at_size[k] == pytest.approx((scores[masks].argmax(1) == base).mean(), abs=.01)
    assert curve.worst(4) == at_size.loc[1:4].min() and curve.worst(0) == 1.0


# smoothing and hard stability

@pytest.mark.parametrize("lam, quant", [(.25, 8), (.5, 8), (.125, 8), (1., 4)])
@pytest.mark.parametrize("votes", [False, True])
def test_mus_is_lipschitz_and_certifies(lam, quant, votes):
    d = 8
    for seed in range(6):
        value = boolean(d, seed)
        keep = C.quantised_masks(d, lam, quant, seed)
        assert (keep.sum(0) == round(lam*quant)).all(), "every feature is kept in exactly λq masks"
        f = C.Smoothed(value, keep, votes)
        masks = all_masks(d)
        scores = f(masks).astype(float)
        steps = (masks[:, None] != masks).sum(2)
        assert (np.abs(scores[:, None] - scores).max(2) <= lam*steps + 1e-6).all()
        for alpha in masks[::17]:
            found = C.hard_stability(value, alpha, lam, quant, seed, votes)
            above = masks[(masks >= alpha).all(1)]
            added = (above & ~alpha).sum(1)
            assert (C.predictions(f, above)[added < found.radius - 1e-6] == found.prediction).all()
            assert 0 <= found.radius <= 1/(2*lam) + 1e-6


def test_on_the_boundary_classes_can_tie():
    "A function of one feature that flips with it: at λ = 1 the radius is 1/2, so nothing is promised about one feature; and a radius of exactly 1 can end in a tie."
    flip = MaskFunction(lambda m: np.stack([~m[:, 0], m[:, 0]], 1).astype(float), 2)
    assert C.hard_stability(flip, np.zeros(2, bool), 1., 4).radius == .5
    half = C.hard_stability(flip, np.zeros(2, bool), .5, 4)
    smooth = C.Smoothed(flip, C.quantised_masks(2, .5, 4))
    assert half.radius == 1.0 and np.allclose(smooth(np.array([[True, False]])), .5), "at the boundary both classes have 1/2; argmax then takes the lower index"


def test_monte_carlo_radii_are_below_the_exact_ones():
    "The bounds hold for all classes at once: in at most delta of 300 runs is the radius above that of the exact smoothed function."
    d, lam = 6, .25
    masks = all_masks(d)
    law = lam**masks.sum(1)*(1 - lam)**(d - masks.sum(1))
    wrong = 0
    for seed in range(10):
        value, alpha = boolean(d, seed, K=3), np.arange(d) < 3
        exact = law @ value(masks & alpha).astype(float)
        for repeat in range(30):
            found = C.hard_stability(value, alpha, lam, masking="bernoulli", n_samples=400, votes=False, delta=.1, seed=repeat)
            truth = (exact[found.prediction] - np.delete(exact, found.prediction).max())/(2*lam)
            wrong += found.radius > max(0, truth) + 1e-9
    assert wrong <= 30


def test_smoothing_converges_to_the_operator():
    from xai_repro.evaluate.boolean import random_mask
    d, lam = 6, .7
    value = boolean(d, 4)
    table = value(all_masks(d)).astype(float)
    exact = np.stack([random_mask(column, lam) for column in table.T], 1)
    error = {n: np.abs(C.smoothed(value, lam, n, seed=1)(all_masks(d)) - exact).mean() for n in (100, 6400)}
    assert error[6400] < .3*error[100] and error[6400] < .01
    votes = C.smoothed(value, lam, 6400, votes=True, seed=1)(all_masks(d))
    hard = np.eye(3)[table.argmax(1)]
    assert np.abs(votes - np.stack([random_mask(column, lam) for column in hard.T], 1)).mean() < .01


def test_a_smoothed_function_is_a_value_function():
    value = boolean(5, 0)
    f = C.smoothed(value, .8, 16)
    alpha = np.arange(5) < 2
    assert C.soft_stability(f, alpha, 3).n_samples == 150 and f.n_features == 5 and np.array_equal(f(all_masks(5)), f(all_masks(5)[::-1])[::-1])
    assert np.allclose(C.smoothed(value, 1.)(all_masks(5)), value(all_masks(5)), atol=1e-6)


def test_ties_go_to_the_lowest_class():
    tied = MaskFunction(lambda m: np.stack([np.zeros(len(m)), m[:, 0], m[:, 0]], 1).astype(float), 3)
    assert C.predictions(tied, np.array([[True, False, False], [False, False, False]])).tolist() == [1, 0]
    assert C.exact_stability(tied, np.array([True, False, False]), 2) == 1.0


def test_queries_are_counted():
    value = boolean(10, 0)
    first = C.soft_stability(value, np.arange(10) < 5, 2)
    assert first.n_queries == value.n_queries <= 16, "of 16 masks in Δ_2, each once"
    assert C.soft_stability(value, np.arange(10) < 5, 2).n_queries == 0


# bad input

ALPHA, VALUE = np.array([True, False, False]), boolean(3)


@pytest.mark.parametrize("call, error, words", [
    (lambda: C.sample_additive(ALPHA, 3, 5), ValueError, ["radius is 3", "from 0 to 2", "alpha lacks"]),
    (lambda: C.sample_additive(ALPHA, -1, 5), ValueError, ["radius is -1"]),
    (lambda: C.sample_additive(np.ones(3, bool), 1, 5), ValueError, ["radius is 1", "from 0 to 0"]),
    (lambda: C.sample_additive(np.array([1, 0]), 1, 5), TypeError, ["alpha", "int64", "bool"]),
    (lambda: C.sample_additive(ALPHA, 1, 0), ValueError, ["n is 0"]),
    (lambda: C.soft_stability(VALUE, ALPHA, 1, eps=0), ValueError, ["eps"]),
    (lambda: C.soft_stability(VALUE, ALPHA, 1, eps=1), ValueError, ["eps is 1", "below 1"]),
    (lambda: C.soft_stability(VALUE, ALPHA, 1, delta=1.5), ValueError, ["delta is 1.5"]),
    (lambda: C.soft_stability(VALUE, ALPHA, 1, interval="wald"), ValueError, ["interval", "hoeffding, clopper_pearson, anytime"]),
    (lambda: C.soft_stability(VALUE, np.ones(4, bool), 0), ValueError, ["alpha has shape (4,)", "(3,)"]),
    (lambda: C.soft_stability(lambda m: m, ALPHA, 1), TypeError, ["n_features"]),
    (lambda: C.soft_stability(MaskFunction(lambda m: m[:, 0], 3), ALPHA, 1), ValueError, ["K >= 2"]),
    (lambda: C.stability_curve(VALUE, np.ones(3, bool)), ValueError, ["radius 0 only"]),
    (lambda: C.stability_curve(VALUE, ALPHA, radii=[]), ValueError, ["radii is empty"]),
    (lambda: C.exact_stability(boolean(3), ALPHA, 2, most=3), ValueError, ["4 masks", "soft_stability"]),
    (lambda: C.exact_stability(MaskFunction(lambda m: m, 60), np.zeros(60, bool), 30), ValueError, ["radius is 30", "soft_stability"]),
    (lambda: C.hard_stability(VALUE, ALPHA, 0), ValueError, ["lam is 0"]),
    (lambda: C.hard_stability(VALUE, ALPHA, 1.5), ValueError, ["lam is 1.5", "at most 1"]),
    (lambda: C.hard_stability(VALUE, ALPHA, .3, quant=8), ValueError, ["multiple of 1/quant"]),
    (lambda: C.hard_stability(VALUE, ALPHA, .25, masking="gauss"), ValueError, ["masking", "quantised, bernoulli"]),
    (lambda: C.hard_stability(MaskFunction(lambda m: np.full((len(m), 2), 3.), 3), ALPHA), ValueError, ["[0, 1]", "probabilities"]),
    (lambda: C.smoothed(VALUE, -1), ValueError, ["lam is -1"]),
    (lambda: C.stopping_time(np.ones(20, bool)), ValueError, ["same has 20 draws"])])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught: call()
    for word in words: assert word in str(caught.value), str(caught.value)


def test_no_zero_to_add_is_always_stable():
    full = np.ones(3, bool)
    assert C.soft_stability(VALUE, full, 0).rate == 1.0 and C.exact_stability(VALUE, full, 0) == 1.0 and np.array_equal(C.sample_additive(full, 0, 4), np.ones((4, 3), bool))
    assert C.stability_curve(VALUE, full, radii=[0]).rates.tolist() == [1.0]
