"""Certificates on functions whose stability is known by enumeration."""
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import allclose
from pytest import approx
from scipy import stats
from value_tables import numbers_of, random_value

from xai_repro.evaluate.boolean import random_mask
from xai_repro.evaluate.certificates import (
    INTERVALS,
    Smoothed,
    Thresholded,
    anytime,
    clopper_pearson,
    exact_error,
    exact_size,
    exact_stability,
    hard_stability,
    hoeffding_size,
    predictions,
    quantised_masks,
    sample_additive,
    sequential_plan,
    size_distribution,
    smoothed,
    soft_stability,
    stability_curve,
    stopping_time,
)
from xai_repro.explain.distributions import all_masks
from xai_repro.value import MaskFunction


def sets_of_size(features: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the masks that have exactly k of some features, by itertools."""
    bits = 1 << features
    chosen = combinations(bits.tolist(), k)
    return np.array([sum(some) for some in chosen])


def delta_set(alpha: np.ndarray, radius: int) -> np.ndarray:
    """Numbers of the masks of Δ_r(alpha), alpha itself first."""
    free = np.flatnonzero(~alpha)
    added = [sets_of_size(free, k) for k in range(radius + 1)]
    return numbers_of(alpha) + np.concatenate(added)


def n_absent(alpha: np.ndarray) -> int:
    """Number of features that an attribution lacks."""
    return int((~alpha).sum())


def random_alpha(d: int, seed: int, share: float) -> np.ndarray:
    """An attribution that selects each feature with a probability."""
    uniform = np.random.default_rng(seed).random(d)
    return uniform < share


def first_of(d: int, n: int) -> np.ndarray:
    """The attribution that selects the first n of d features."""
    return np.arange(d) < n


def exact_rates(value, alpha, radii) -> np.ndarray:
    """τ_r at each radius, by enumeration."""
    return np.array([exact_stability(value, alpha, radius) for radius in radii])


# the sampler

@pytest.mark.parametrize("bits, radius", [
    ("00000000", 3),
    ("10010000", 6),
    ("10110", 2),
    ("0", 1),
    ("1010", 1),
    ("11110", 1),
])
def test_every_element_is_equally_likely(bits, radius):
    selected = [bit == "1" for bit in bits]
    alpha = np.array(selected)
    masks = sample_additive(alpha, radius, 200_000, seed=3)
    numbers = numbers_of(masks)
    drawn, counts = np.unique(numbers, return_counts=True)
    members = delta_set(alpha, radius)
    assert set(drawn) == set(members)
    assert stats.chisquare(counts).pvalue > .001


def exact_size_distribution(m: int, radius: int) -> np.ndarray:
    """Probability of each size, by whole numbers of any length."""
    ways = [comb(m, j) for j in range(radius + 1)]
    total = sum(ways)
    digits = 10**40
    within = [n*digits//total/1e40 for n in ways]
    beyond = [0]*(m - radius)
    return np.array(within + beyond)


@pytest.mark.parametrize("radius", [0, 1, 37, 1000, 2000])
def test_two_thousand_features(radius):
    m = 2000
    exact = exact_size_distribution(m, radius)
    distribution = size_distribution(m, radius)
    assert allclose(distribution, exact, rtol=1e-9, atol=1e-12)
    nothing = np.zeros(m, bool)
    masks = sample_additive(nothing, radius, 300, seed=1)
    size = np.arange(m + 1)
    mean = exact @ size
    mean_square = exact @ size**2
    variance = mean_square - mean**2
    standard_error = np.sqrt(variance/300)
    drawn = masks.sum(1)
    error = abs(drawn.mean() - mean)
    assert drawn.max() <= radius
    assert error <= 4*standard_error + 1e-9


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 40), seed=st.integers(0, 10**6), n=st.integers(1, 30), data=st.data())
def test_draws_contain_alpha_and_keep_the_radius(d, seed, n, data):
    alpha = random_alpha(d, seed, .5)
    radii = st.integers(0, n_absent(alpha))
    radius = data.draw(radii)
    drawn = sample_additive(alpha, radius, n, seed)
    assert drawn.shape == (n, d)
    assert drawn[:, alpha].all()
    n_added = (drawn & ~alpha).sum(1)
    assert (n_added <= radius).all()


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 40), seed=st.integers(0, 10**6), n=st.integers(1, 30), data=st.data())
def test_fewer_draws_are_the_first_of_more(d, seed, n, data):
    alpha = random_alpha(d, seed, .5)
    radii = st.integers(0, n_absent(alpha))
    radius = data.draw(radii)
    state = np.random.get_state()[1].copy()
    drawn = sample_additive(alpha, radius, n, seed)
    half = n//2 + 1
    fewer = sample_additive(alpha, radius, half, seed)
    assert np.array_equal(drawn[:half], fewer)
    assert np.array_equal(state, np.random.get_state()[1]), "numpy's own generator is not used"


# rates

@pytest.mark.parametrize("seed", range(4))
def test_exact_stability_is_the_definition(seed):
    value = random_value(7, seed)
    alpha = random_alpha(7, seed, .4)
    classes = value(all_masks(7)).argmax(1)
    for radius in range(n_absent(alpha) + 1):
        of_members = classes[delta_set(alpha, radius)]
        same = of_members == of_members[0]
        rate = exact_stability(value, alpha, radius)
        assert rate == approx(same.mean(), abs=1e-12)


def half_the_radius(alpha: np.ndarray) -> int:
    """A radius in the middle, 0 only where no feature is absent."""
    m = n_absent(alpha)
    return max(1, m//2) if m > 0 else 0


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("eps, delta", [(.1, .1), (.08, .2)])
def test_the_guarantee_over_a_thousand_repetitions(interval, eps, delta):
    """On 20 random functions, 50 seeds each, at least 1 - delta are right.

    The rate is within eps, and the interval covers it (both are conservative).
    """
    n_wrong = n_missed = 0
    used = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        d = int(generator.integers(4, 11))
        value = random_value(d, seed, K=2)
        alpha = random_alpha(d, seed + 100, .3)
        radius = half_the_radius(alpha)
        exact = exact_stability(value, alpha, radius)
        for repeat in range(50):
            own_seed = 1000*seed + repeat
            certificate = soft_stability(value, alpha, radius, eps, delta, own_seed, interval)
            low, high = certificate.interval
            error = abs(certificate.rate - exact)
            n_wrong += error > eps + 1e-12
            n_missed += not low - 1e-12 <= exact <= high + 1e-12
            used.append(certificate.n_samples)
    most = hoeffding_size(eps, delta)
    assert n_wrong <= delta*1000
    assert n_missed <= delta*1000
    assert max(used) <= most
    if interval == "anytime":
        assert np.mean(used) < most


@pytest.mark.parametrize("delta", [.1])
def test_the_anytime_interval_holds_at_every_look(delta):
    """Of 1,500 sequences of 300 draws at most delta ever leave the interval."""
    generator = np.random.default_rng(0)
    n = np.arange(1, 301)
    for rate in (.02, .3, .5, .9, .99):
        agrees = generator.random((1500, 300)) < rate
        s = agrees.cumsum(1)
        low, high = anytime(s, n, delta)
        too_high = (low > rate).any(1)
        too_low = (high < rate).any(1)
        ever_outside = too_high | too_low
        assert ever_outside.mean() <= delta


def error_at(rate: float, n: int, eps: float) -> float:
    """Probability that the share of n draws misses a rate by more than eps, summed up."""
    counts = np.arange(n + 1)
    error = np.abs(counts/n - rate)
    misses = error > eps + 1e-10
    probabilities = stats.binom.pmf(counts, n, rate)
    return probabilities[misses].sum()


@pytest.mark.parametrize("n, eps", [(7, .2), (30, .1), (70, .1), (100, .05), (33, .15)])
def test_exact_error_is_the_worst_over_all_rates(n, eps):
    shares = np.arange(n + 1)/n
    grid = np.linspace(0, 1, 5001)
    below = shares - eps - 1e-8
    above = shares + eps + 1e-8
    rates = np.concatenate([grid, below, above])
    possible = (rates >= 0) & (rates <= 1)
    rates = rates[possible]
    worst = max(error_at(rate, n, eps) for rate in rates)
    assert exact_error(n, eps) == approx(worst, abs=2e-5)
    assert worst <= exact_error(n, eps) + 1e-9


def test_hoeffding_sizes_are_the_papers():
    assert hoeffding_size(.1, .1) == 150
    assert hoeffding_size(.05, .05) == 738, "the paper's tutorial"


@pytest.mark.parametrize("eps, delta", [(.1, .1), (.05, .05), (.1, .01), (.3, .5)])
def test_sizes(eps, delta):
    most = hoeffding_size(eps, delta)
    n = exact_size(eps, delta)
    assert n <= most
    assert exact_error(n, eps) <= delta
    cap, spent = sequential_plan(eps, delta)
    assert cap <= most
    error = exact_error(cap, eps)
    assert spent + error == approx(delta)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 400), data=st.data(), delta=st.floats(.001, .5))
def test_intervals_hold_the_share_and_mirror(n, data, delta):
    s = data.draw(st.integers(0, n))
    share = s/n
    for interval in INTERVALS.values():
        low, high = interval(s, n, delta)
        assert 0 <= low <= share + 1e-9
        assert share - 1e-9 <= high <= 1
        failures = n - s
        mirrored_low, mirrored_high = interval(failures, n, delta)
        assert low == approx(1 - mirrored_high, abs=1e-7)
        assert high == approx(1 - mirrored_low, abs=1e-7)


@pytest.mark.parametrize("s, n", [(0, 10), (3, 10), (10, 10), (77, 150)])
def test_clopper_pearson_is_scipys(s, n):
    theirs = stats.binomtest(s, n).proportion_ci(.9, "exact")
    low, high = clopper_pearson(s, n, .1)
    assert low == approx(theirs.low, abs=1e-9)
    assert high == approx(theirs.high, abs=1e-9)


# the curve

def test_the_curve_is_unbiased_and_covers():
    value = random_value(9, 5, K=2)
    alpha = first_of(9, 2)
    exact = exact_rates(value, alpha, range(1, 8))
    curves = [stability_curve(value, alpha, n_samples=60, seed=s) for s in range(600)]
    rates = np.array([curve.rates for curve in curves])
    mean = rates.mean(0)
    bias = np.abs(mean - exact)
    standard_error = rates.std(0)/np.sqrt(600)
    assert (bias <= 4*standard_error + 1e-12).all()
    low = np.array([curve.low for curve in curves])
    high = np.array([curve.high for curve in curves])
    covered = (low <= exact) & (exact <= high)
    assert (covered.mean(0) >= .9).all()


def test_the_curve_keeps_eps_at_every_radius_and_saves():
    value = random_value(10, 2)
    alpha = first_of(10, 2)
    curve = stability_curve(value, alpha, eps=.08, delta=.1)
    length = curve.high - curve.low
    assert (length <= 2*.08 + 1e-9).all()
    n_of_one = hoeffding_size(.08, .1)
    assert curve.n_samples < n_of_one*8
    assert curve.n_samples == curve.at_size.n.sum()
    one = stability_curve(value, alpha, radii=[3], eps=.08, delta=.1)
    assert one.n_samples <= n_of_one + 3, "Theorem 3.1's, up to rounding up each size"


def test_enough_draws_make_the_curve_exact():
    value = random_value(6, 1)
    alpha = first_of(6, 2)
    curve = stability_curve(value, alpha, n_samples=60_000)
    exact = exact_rates(value, alpha, range(1, 5))
    error = np.abs(curve.rates - exact)
    assert error.max() < .01
    rate_at = curve.at_size.set_index("size").rate
    classes = value(all_masks(6)).argmax(1)
    start = numbers_of(alpha)
    free = np.flatnonzero(~alpha)
    for k in range(1, 5):
        numbers = start + sets_of_size(free, k)
        same = classes[numbers] == classes[start]
        assert rate_at[k] == approx(same.mean(), abs=.01)
    lowest = rate_at.loc[1:4].min()
    assert curve.worst(4) == lowest
    assert curve.worst(0) == 1.0


# smoothing and hard stability

SMALL = all_masks(8)


@pytest.mark.parametrize("lam, quant", [(.25, 8), (.5, 8), (.125, 8), (1., 4)])
@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_mus_is_lipschitz(lam, quant, votes, seed):
    keep = quantised_masks(8, lam, quant, seed)
    n_times_kept = keep.sum(0)
    assert (n_times_kept == round(lam*quant)).all()
    function = Smoothed(random_value(8, seed), keep, votes)
    scores = function(SMALL).astype(float)
    steps = (SMALL[:, None] != SMALL).sum(2)
    difference = scores[:, None] - scores
    change = np.abs(difference).max(2)
    assert (change <= lam*steps + 1e-6).all()


@pytest.mark.parametrize("lam, quant", [(.25, 8), (.5, 8), (.125, 8), (1., 4)])
@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_mus_certifies(lam, quant, votes, seed):
    value = random_value(8, seed)
    keep = quantised_masks(8, lam, quant, seed)
    function = Smoothed(value, keep, votes)
    for alpha in SMALL[::17]:
        certificate = hard_stability(value, alpha, lam, quant, seed, votes)
        largest = 1/(2*lam)
        assert 0 <= certificate.radius <= largest + 1e-6
        contains = (SMALL >= alpha).all(1)
        above = SMALL[contains]
        n_added = (above & ~alpha).sum(1)
        inside = n_added < certificate.radius - 1e-6
        predicted = predictions(function, above)
        assert (predicted[inside] == certificate.prediction).all()


def flips(masks: np.ndarray) -> np.ndarray:
    """Scores of two classes that flip with the first feature."""
    first = masks[:, 0]
    return np.stack([~first, first], 1).astype(float)


FLIP = MaskFunction(flips, 2)
NOTHING = np.zeros(2, bool)


def test_on_the_boundary_nothing_is_promised_about_one_feature():
    certificate = hard_stability(FLIP, NOTHING, 1., 4)
    assert certificate.radius == .5


def test_on_the_boundary_classes_can_tie():
    """A radius of exactly 1 can end in a tie; argmax then takes the lower index."""
    certificate = hard_stability(FLIP, NOTHING, .5, 4)
    assert certificate.radius == 1.0
    keep = quantised_masks(2, .5, 4)
    smooth = Smoothed(FLIP, keep)
    first = np.array([[True, False]])
    assert allclose(smooth(first), .5)


def test_monte_carlo_radii_are_below_the_exact_ones():
    """The bounds hold for all classes at once.

    In at most delta of 300 runs the radius is above that of the exact smoothed function.
    """
    d = 6
    lam = .25
    alpha = first_of(d, 3)
    masks = all_masks(d)
    k = masks.sum(1)
    of_absent = (1 - lam)**(d - k)
    probabilities = lam**k*of_absent
    n_wrong = 0
    for seed in range(10):
        value = random_value(d, seed, K=3)
        scores = value(masks & alpha).astype(float)
        exact = probabilities @ scores
        options = dict(masking="bernoulli", n_samples=400, votes=False, delta=.1)
        for repeat in range(30):
            certificate = hard_stability(value, alpha, lam, seed=repeat, **options)
            others = np.delete(exact, certificate.prediction)
            gap = exact[certificate.prediction] - others.max()
            radius = max(0, gap/(2*lam))
            n_wrong += certificate.radius > radius + 1e-9
    assert n_wrong <= 30


def masked_columns(scores: np.ndarray, lam: float) -> np.ndarray:
    """The exact operator M_λ on every column of a table [2**d, K]."""
    columns = [random_mask(column, lam) for column in scores.T]
    return np.stack(columns, 1)


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference."""
    return np.abs(a - b).mean()


def test_smoothing_converges_to_the_operator():
    value = random_value(6, 4)
    masks = all_masks(6)
    scores = value(masks).astype(float)
    exact = masked_columns(scores, .7)
    errors = []
    for n in (100, 6400):
        smooth = smoothed(value, .7, n, seed=1)
        errors.append(mean_difference(smooth(masks), exact))
    assert errors[1] < .3*errors[0]
    assert errors[1] < .01


def test_smoothed_votes_converge_to_the_operator():
    value = random_value(6, 4)
    masks = all_masks(6)
    smooth = smoothed(value, .7, 6400, votes=True, seed=1)
    classes = value(masks).argmax(1)
    votes = np.eye(3)[classes]
    exact = masked_columns(votes, .7)
    assert mean_difference(smooth(masks), exact) < .01


def test_a_smoothed_function_is_a_value_function():
    value = random_value(5, 0)
    masks = all_masks(5)
    smooth = smoothed(value, .8, 16)
    assert smooth.n_features == 5
    certificate = soft_stability(smooth, first_of(5, 2), 3)
    assert certificate.n_samples == 150
    backwards = smooth(masks[::-1])
    assert np.array_equal(smooth(masks), backwards[::-1])


def test_smoothing_that_keeps_all_changes_nothing():
    value = random_value(5, 0)
    masks = all_masks(5)
    smooth = smoothed(value, 1.)
    assert allclose(smooth(masks), value(masks), atol=1e-6)


def ties(masks: np.ndarray) -> np.ndarray:
    """Scores of three classes, of which the last two always tie."""
    first = masks[:, 0]
    never = np.zeros(len(masks))
    return np.stack([never, first, first], 1).astype(float)


def test_ties_go_to_the_lowest_class():
    tied = MaskFunction(ties, 3)
    first = np.array([True, False, False])
    masks = np.stack([first, np.zeros(3, bool)])
    assert predictions(tied, masks).tolist() == [1, 0]
    assert exact_stability(tied, first, 2) == 1.0


def test_queries_are_counted():
    value = random_value(10, 0)
    alpha = first_of(10, 5)
    certificate = soft_stability(value, alpha, 2)
    assert certificate.n_queries == value.n_queries <= 16, "of 16 masks in Δ_2, each once"
    again = soft_stability(value, alpha, 2)
    assert again.n_queries == 0


# about the explained class

def delta_masks(alpha: np.ndarray, radius: int) -> np.ndarray:
    """Δ_r(alpha) by filtering all masks: bool [n, d], alpha first."""
    every = all_masks(len(alpha))
    added = (every & ~alpha).sum(1)
    inside = every[(every >= alpha).all(1) & (added <= radius)]
    return inside[np.argsort((inside & ~alpha).sum(1), kind="stable")]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", range(3))
def test_the_rate_of_a_target_is_the_share_that_predicts_it(target, seed):
    value = random_value(8, seed)
    alpha = first_of(8, 2)
    near = delta_masks(alpha, 3)
    predicted = value(near).argmax(1)
    expected = (predicted == target).mean()
    assert exact_stability(value, alpha, 3, target=target) == expected
    for interval in INTERVALS:
        certificate = soft_stability(
            value, alpha, 3, .05, .01, seed, interval=interval, target=target)
        assert certificate.rate == approx(expected, abs=.05)
        assert certificate.interval[0] <= expected <= certificate.interval[1]
        assert certificate.predicts_target == (predicted[0] == target)
        assert certificate.prediction == predicted[0]
    curve = stability_curve(value, alpha, eps=.05, delta=.01, target=target)
    rates = [exact_stability(value, alpha, r, target=target) for r in curve.radii]
    assert (curve.low <= rates).all()
    assert (rates <= curve.high).all()
    assert curve.predicts_target == (predicted[0] == target)
    at_none = curve.at_size.rate[curve.at_size["size"] == 0]
    assert at_none.tolist() == [float(predicted[0] == target)]


def test_where_the_selection_predicts_the_target_nothing_changes():
    value = random_value(8, 0)
    alpha = first_of(8, 3)
    own = int(predictions(value, alpha[None])[0])
    smooth = hard_stability(value, alpha, .25, 8).prediction

    def numbers(target, of_smooth):
        certificate = soft_stability(value, alpha, 3, seed=2, target=target)
        curve = stability_curve(value, alpha, n_samples=200, target=target)
        hard = hard_stability(value, alpha, .25, 8, target=of_smooth)
        return certificate.rate, certificate.interval, curve.rates.tolist(), hard.radius, hard.top

    assert numbers(own, smooth) == numbers(None, None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [.2, .5, .9])
@pytest.mark.parametrize("target", [0, 2, None])
def test_by_a_threshold_the_target_is_predicted_where_its_score_reaches_it(target, threshold, seed):
    """Of several labels; without a target the decision of alpha is what is kept."""
    value = random_value(8, seed)
    alpha = first_of(8, 2)
    instance = Thresholder(value, 2 if target is None else target, threshold)
    reached = value(delta_masks(alpha, 3))[:, instance.target] >= threshold
    wanted = reached[0] if target is None else True
    expected = (reached == wanted).mean()
    given = dict(target=target) if target is None else dict(target=target, threshold=threshold)
    asked = instance if target is None else value
    assert exact_stability(asked, alpha, 3, **given) == expected
    certificate = soft_stability(asked, alpha, 3, .05, .01, **given)
    assert certificate.interval[0] <= expected <= certificate.interval[1]
    assert certificate.prediction == int(reached[0])
    assert certificate.predicts_target == (reached[0] == wanted)
    assert certificate.threshold == threshold
    curve = stability_curve(asked, alpha, [3], eps=.05, delta=.01, **given)
    assert curve.low[0] <= expected <= curve.high[0]


class Thresholder:
    """A value function with a target and a threshold, as an instance has them."""

    def __init__(self, value, target, threshold):
        self.value, self.target, self.threshold = value, target, threshold
        self.n_features = value.n_features

    def __call__(self, masks): return self.value(masks)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize("asked", [
    dict(target=0), dict(target=1), dict(target=2),
    dict(target=1, threshold=.3), dict(target=1, threshold=.36)])
def test_a_hard_radius_is_of_the_target(asked, votes, seed):
    """No addition within the radius takes the prediction from the target: by enumeration."""
    value = random_value(7, seed)
    alpha = first_of(7, 2)
    certificate = hard_stability(value, alpha, .25, 8, seed, votes, **asked)
    level, target = asked.get("threshold"), asked["target"]
    by_votes = level is not None and votes
    own = Thresholded(value, target, level) if by_votes else value
    scores = Smoothed(own, quantised_masks(7, .25, 8, seed), votes)
    above = delta_masks(alpha, 5)
    if level is None:
        kept = scores(above).argmax(1) == target
    elif votes:
        kept = scores(above)[:, 1] > .5
    else:
        kept = scores(above)[:, target] >= level
    added = (above & ~alpha).sum(1)
    assert kept[added < certificate.radius].all()
    assert certificate.predicts_target == kept[0] or certificate.radius == 0
    if not certificate.predicts_target: assert certificate.radius == 0
    if level is not None and not votes:
        distance = float(scores(alpha[None])[0, target]) - level
        assert certificate.radius == approx(max(0, distance)/.25)


def test_without_a_target_a_hard_radius_keeps_the_decision_by_threshold():
    value = random_value(7, 1)
    alpha = first_of(7, 2)
    score = float(Smoothed(value, quantised_masks(7, .25, 8))(alpha[None])[0, 2])
    for level in (score - .1, score + .05):
        certificate = hard_stability(Thresholder(value, 2, level), alpha, .25, 8)
        assert certificate.prediction == int(score >= level)
        assert certificate.radius == approx(abs(score - level)/.25)
        drawn = hard_stability(
            Thresholder(value, 2, level), alpha, .25, masking="bernoulli", n_samples=4000)
        assert drawn.radius < certificate.radius + .3


# bad input

ALPHA = np.array([True, False, False])
FULL = np.ones(3, bool)
VALUE = random_value(3)
ONE_CLASS = MaskFunction(lambda masks: masks[:, 0], 3)
NOT_SHARES = MaskFunction(lambda masks: np.full((len(masks), 2), 3.), 3)
WIDE = MaskFunction(lambda masks: masks, 60)


@pytest.mark.parametrize("call, error, words", [
    (lambda: sample_additive(ALPHA, 3, 5), ValueError,
     ["radius is 3", "from 0 to 2", "alpha lacks"]),
    (lambda: sample_additive(ALPHA, -1, 5), ValueError, ["radius is -1"]),
    (lambda: sample_additive(FULL, 1, 5), ValueError, ["radius is 1", "from 0 to 0"]),
    (lambda: sample_additive(np.array([1, 0]), 1, 5), TypeError, ["alpha", "int64", "bool"]),
    (lambda: sample_additive(ALPHA, 1, 0), ValueError, ["n is 0"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, eps=0), ValueError, ["eps"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, eps=1), ValueError, ["eps is 1", "below 1"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, delta=1.5), ValueError, ["delta is 1.5"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, interval="wald"), ValueError,
     ["interval", "hoeffding, clopper_pearson, anytime"]),
    (lambda: soft_stability(VALUE, np.ones(4, bool), 0), ValueError,
     ["alpha has shape (4,)", "(3,)"]),
    (lambda: soft_stability(lambda masks: masks, ALPHA, 1), TypeError, ["n_features"]),
    (lambda: soft_stability(ONE_CLASS, ALPHA, 1), ValueError, ["K >= 2"]),
    (lambda: stability_curve(VALUE, FULL), ValueError, ["radius 0 only"]),
    (lambda: stability_curve(VALUE, ALPHA, radii=[]), ValueError, ["radii is empty"]),
    (lambda: exact_stability(random_value(3), ALPHA, 2, most=3), ValueError,
     ["4 masks", "soft_stability"]),
    (lambda: exact_stability(WIDE, np.zeros(60, bool), 30), ValueError,
     ["radius is 30", "soft_stability"]),
    (lambda: hard_stability(VALUE, ALPHA, 0), ValueError, ["lam is 0"]),
    (lambda: hard_stability(VALUE, ALPHA, 1.5), ValueError, ["lam is 1.5", "at most 1"]),
    (lambda: hard_stability(VALUE, ALPHA, .3, quant=8), ValueError, ["multiple of 1/quant"]),
    (lambda: hard_stability(VALUE, ALPHA, .25, masking="gauss"), ValueError,
     ["masking", "quantised, bernoulli"]),
    (lambda: hard_stability(NOT_SHARES, ALPHA), ValueError, ["[0, 1]", "probabilities"]),
    (lambda: smoothed(VALUE, -1), ValueError, ["lam is -1"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, target=3), ValueError,
     ["target is 3", "from 0 to 2"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, threshold=.5), ValueError,
     ["target is None with the threshold 0.5", "label"]),
    (lambda: soft_stability(VALUE, ALPHA, 1, target=0, threshold=np.inf), ValueError,
     ["threshold is inf"]),
    (lambda: soft_stability(ONE_CLASS, ALPHA, 1, target=0), ValueError,
     ["value returned 1 score a mask", "K >= 2 classes", "threshold=0.5"]),
    (lambda: stopping_time(np.ones(20, bool)), ValueError, ["same has 20 draws"]),
])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message


def test_with_nothing_to_add_all_is_stable():
    certificate = soft_stability(VALUE, FULL, 0)
    assert certificate.rate == 1.0
    assert exact_stability(VALUE, FULL, 0) == 1.0
    curve = stability_curve(VALUE, FULL, radii=[0])
    assert curve.rates.tolist() == [1.0]
    masks = sample_additive(FULL, 0, 4)
    assert masks.shape == (4, 3)
    assert masks.all()
