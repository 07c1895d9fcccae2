"""Very large, very small, shifted and constant numbers: right to rounding, or refused."""
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from xai_repro.evaluate import (
    boolean,
    certificates,
    faithfulness,
    localisation,
    seed_stability,
    similarity,
)
from xai_repro.explain import distributions, lfa, limits, perturbation, subsets, surrogates
from xai_repro.explain.attribution import select_top
from xai_repro.value import MaskFunction
from xai_repro.workbook import claims

D = 8
W = np.linspace(-1, 1, D)
RANDOM = np.random.default_rng(0)
Z = RANDOM.random((60, D)) < .5
Y = Z @ W + .1*RANDOM.normal(size=60)
A, B = RANDOM.normal(size=(2, D))
MAPS = RANDOM.normal(size=(2, 64, 64))
TABLE = RANDOM.random(16)
MANY = RANDOM.normal(size=(2, 200))
ONES = np.ones(60)
SHARES = np.full(16, 1/16)


@pytest.fixture(autouse=True)
def _quiet():
    """Warnings are looked at by other tests."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(name="attempt")
def _attempt(tally, request):
    """Try a call once, under the name of the test."""
    return partial(count, tally, request.node.name)


def count(tally, what, call, want, tolerance=1e-6):
    """Count a call as right, refused by an error that says what is allowed, or wrong."""
    try:
        got = np.asarray(call(), float)
    except (ValueError, TypeError) as error:
        refuse(tally, what, error)
        return
    want = np.asarray(want, float)
    scale = np.abs(want).max() or 1
    is_near = np.abs(got - want) <= tolerance*scale
    is_right = np.isfinite(got).all() and is_near.all()
    outcome = "right" if is_right else "wrong"
    tally.add(outcome, f"{what}: {first(got)} for {first(want)}")


def refuse(tally, what, error):
    """Count an error: it should say what is allowed."""
    is_named = "allowed" in str(error)
    outcome = "refused" if is_named else "wrong"
    tally.add(outcome, f"{what}: {error}")


def first(numbers):
    """The first three."""
    return numbers.ravel()[:3]


def each(argument, cases):
    """Run a test with each of the cases, by its name, as the argument."""
    return pytest.mark.parametrize(argument, cases.values(), ids=cases.keys())


def function(f, d=D):
    """A function of masks."""
    return MaskFunction(f, d)


def linear(c):
    """A linear function of masks, times a factor."""
    return function(lambda m: c*(m @ W))


def squares(c):
    """A function of rows, times a factor."""
    return lambda rows: c*(rows**2).sum(1)


LINEAR = linear(1.)


# a factor of all scores

SCALES = [1e-300, 1e-200, 1e-160, 1e-30, 1e30, 1e150, 1e200, 1e300]


def mu_fidelity(c):
    value = function(lambda m: c*(m @ A))
    return faithfulness.mu_fidelity(value, A*c, 0)


def local_fidelity(c):
    def g(points): return c*points.sum(1)
    return faithfulness.local_fidelity(squares(c), g, A, n=50)


def lima_order(c):
    def embedded(masks):
        first_four = masks[:, :4].astype(float)
        return c*(first_four + 1)

    def probabilities(masks):
        share = masks @ W/9
        return np.stack([share + .5, .5 - share], 1)

    explained = subsets.lima(function(probabilities), 0, function(embedded))
    return explained.order


def r2_of_given_weights(c):
    rows = Z.astype(float)
    weights = W[None]*c
    _, r2 = surrogates.fitted_by(weights, rows, Y[None]*c, ONES)
    return r2


def agreement(c):
    measures = seed_stability.agreement([A*c, B*c])
    return list(measures.values())


@pytest.mark.parametrize("c", SCALES)
@each("measure", {
    "hsic": lambda c: perturbation.hsic(linear(c), 0),
    "sobol": lambda c: perturbation.sobol(linear(c), 0),
    "r2": lambda c: surrogates.ridge(Z, Y*c, alpha=1.).r2,
    "of weights": lambda c: surrogates.ridge(Z, Y, np.full(60, c), 0.).coef,
    "r2 of given weights": r2_of_given_weights,
    "cosine": lambda c: similarity.cosine_distance(A*c, B*c),
    "cosine, apart": lambda c: similarity.cosine_distance(A*c, B),
    "pearson": lambda c: similarity.pearson(A*c, B*c),
    "spearman": lambda c: similarity.spearman(A*c, B*c),
    "jaccard": lambda c: similarity.jaccard(A*c, B*c, 3),
    "jaccard_curve": lambda c: similarity.jaccard_curve(A*c, B*c),
    "ssim": lambda c: similarity.ssim(*(MAPS*c)),
    "hog": lambda c: similarity.hog_correlation(*(MAPS*c)),
    "box": lambda c: localisation.box_of(MAPS[0]*c),
    "top": lambda c: select_top(A*c, .5),
    "agreement": agreement,
    "mu_fidelity": mu_fidelity,
    "local_fidelity": local_fidelity,
    "lima": lima_order,
})
def test_what_a_factor_leaves_unchanged(attempt, measure, c):
    attempt(lambda: measure(c), measure(1.))


def approximate(c):
    noise = distributions.normal(.1)
    return lfa.approximate(squares(c), A, noise, n_samples=60).weights


@pytest.mark.parametrize("c", SCALES)
@each("measure", {
    "lime": lambda c: lfa.lime(linear(c), 0, 200, 2., 0.).weights,
    "glime": lambda c: lfa.glime(linear(c), 0, 200, 2.).weights,
    "kernel_shap": lambda c: perturbation.kernel_shap(linear(c), 0).weights,
    "occlusion": lambda c: perturbation.occlusion(linear(c), 0),
    "rise": lambda c: perturbation.rise(linear(c), 0),
    "ridge": lambda c: surrogates.ridge(Z, Y*c, alpha=1.).coef,
    "limit": lambda c: limits.limit(TABLE*c, 1.),
    "fit_all": lambda c: limits.fit_all(TABLE*c, SHARES, .1),
    "l1": lambda c: similarity.l1_distance(A*c, B*c),
    "mae": lambda c: similarity.mae(A*c, B*c),
    "intervals": lambda c: claims.intervals(A*c),
    "fourier": lambda c: boolean.fourier(TABLE*c),
    "monotone": lambda c: boolean.monotone(TABLE*c),
    "mass": lambda c: boolean.mass(TABLE*c),
    "insertion": lambda c: faithfulness.insertion(linear(c), np.arange(D), 0).auc,
    "approximate": approximate,
    "integrated": lambda c: lfa.attribute("integrated_gradients", squares(c), A[None], 20),
})
def test_what_grows_with_a_factor(attempt, measure, c):
    def per_unit(): return np.asarray(measure(c))/c
    attempt(per_unit, measure(1.))


@pytest.mark.parametrize("c", [1e-100, 1e100, 1e160, 1e300])
def test_squares_too_large_to_be_numbers(attempt, c):
    def per_unit(): return similarity.mse(A*c, B*c)/c/c
    want = similarity.mse(A, B)
    attempt(per_unit, want)


# a number added to all scores

@pytest.mark.parametrize("c", [0, 1e3, 1e5, 1e7, 1e9, -1e9])
@each("explain", {
    "lime": lambda value: lfa.lime(value, 0, 300, 5., 0.).weights,
    "kernel_shap": lambda value: perturbation.kernel_shap(value, 0, 300).weights,
    "exhaustive": lambda v: perturbation.kernel_shap(v, 0, sampling="exhaustive").weights,
    "occlusion": lambda value: perturbation.occlusion(value, 0),
    "every mask": lambda v: lfa.explain(v, 0, distributions.exhaustive(), 0.).weights,
})
def test_prices_and_likelihoods_keep_their_digits(attempt, explain, c):
    shifted = function(lambda m: c + m @ W)
    attempt(lambda: explain(shifted), W, 1e-2)


@pytest.mark.parametrize("c", [1e4, 1e8, 1e12])
def test_a_ridge_of_shifted_scores_is_the_same(attempt, c):
    def shifted(): return surrogates.ridge(Z, Y + c).coef
    want = surrogates.ridge(Z, Y).coef
    attempt(shifted, want, 1e-3)


def test_a_correlation_of_shifted_scores_is_the_same(attempt):
    def shifted(): return similarity.pearson(A + 1e9, B + 1e9)
    want = similarity.pearson(A, B)
    attempt(shifted, want, 1e-4)


def test_intervals_of_shifted_scores_are_shifted(attempt):
    def shifted_back():
        found = claims.intervals(A + 1e12)
        return np.array(found) - 1e12

    want = claims.intervals(A)
    attempt(shifted_back, want, 1e-3)


# ridges

@pytest.mark.parametrize("alpha", [1e-300, 1e-30, 1e-18, 1e-14])
@pytest.mark.parametrize("n, d", [(60, 8), (10, 30), (40, 40)])
def test_a_tiny_ridge_is_none(attempt, alpha, n, d):
    generator = np.random.default_rng(n)
    rows = generator.random((n, d)) < .5
    y = rows @ np.linspace(-1, 1, d)
    doubled = np.concatenate([rows, rows], 1)
    want = surrogates.ridge(rows, y, alpha=0).coef
    half = np.concatenate([want, want])/2
    def once(): return surrogates.ridge(rows, y, alpha=alpha).coef
    def twice(): return surrogates.ridge(doubled, y, alpha=alpha).coef
    attempt(once, want)
    attempt(twice, half)


@pytest.mark.parametrize("c", [1e-12, 1e-8, 1e8, 1e12])
def test_columns_of_other_units(attempt, c):
    units = np.r_[c, np.ones(D - 1)]
    def in_units(): return surrogates.ridge(Z*units, Y, alpha=0).coef*units
    want = surrogates.ridge(Z, Y, alpha=0).coef
    attempt(in_units, want, 1e-3)


@pytest.mark.parametrize("alpha", [1e-3, 1., 100.])
def test_fewer_rows_than_features_have_the_same_ridge(attempt, alpha):
    """By n equations instead of d, above 1024 features."""
    generator = np.random.default_rng(1)
    rows = generator.random((40, 1500)) < .5
    y = generator.normal(size=40)
    w = generator.random(40)
    total = w.sum()
    centred = rows - (w @ rows)/total
    scores = y - (w @ y)/total
    weighted = centred*w[:, None]
    penalty = alpha*np.eye(1500)
    want = np.linalg.solve(centred.T @ weighted + penalty, weighted.T @ scores)
    def of_rows(): return surrogates.ridge(rows, y, w, alpha).coef
    attempt(of_rows, want)


# very narrow and very wide distributions

@pytest.mark.parametrize("sigma", [1e-200, 1e-3, 1e160, 1e200])
def test_widths_of_lime(attempt, sigma):
    def weights(): return lfa.lime(LINEAR, 0, 500, sigma, 0.).weights
    attempt(weights, W, .05)


@pytest.mark.parametrize("sigma", [1e-200, 1e200])
def test_widths_of_glime(attempt, sigma):
    def weights(): return lfa.glime(LINEAR, 0, 500, sigma, alpha=1e-9).weights
    attempt(weights, W, .05)


@pytest.mark.parametrize("sigma", [1e-200, 1e200])
def test_widths_of_moments(attempt, sigma):
    def diagonal(): return limits.binomial_moments(5, sigma).diagonal
    attempt(diagonal, 1.)


def test_a_total_of_many_features(attempt):
    attempt(lambda: limits.lime_total(10**6, .25), 0.)


# large and small inputs

def weighted_sum(rows):
    """A linear function of rows in any precision."""
    weights = torch.arange(1., D + 1, dtype=rows.dtype)
    return rows @ weights


class OfFloat32:
    """A function that takes float32 only."""

    def __init__(self): self.weights = torch.arange(1., D + 1)

    def __call__(self, rows): return rows @ self.weights


@pytest.mark.parametrize("f", [weighted_sum, OfFloat32()])
@pytest.mark.parametrize("x", [1e5, 1e7, 1e10, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_beside_large_inputs(attempt, f, x, dtype):
    point = np.full(D, x, dtype)
    noise = distributions.normal(.01)
    want = np.arange(1., D + 1)
    def weights(): return lfa.approximate(f, point, noise, n_samples=500).weights
    attempt(weights, want, .05)


def test_small_inputs_of_float32(attempt):
    x = np.full((1, D), 1e-30, np.float32)
    want = np.ones((1, D))
    def per_unit(): return lfa.attribute("integrated_gradients", squares(1), x, 50)/1e-60
    attempt(per_unit, want, 1e-3)


@pytest.mark.parametrize("bounds, want, tolerance", [
    (lambda: certificates.clopper_pearson(5e8, 1e9, .05), (.5 - 3.1e-5, .5 + 3.1e-5), 1e-4),
    (lambda: certificates.anytime(5e11, 1e12, .05), (.5, .5), 1e-3),
    (lambda: certificates.anytime(0, 1e9, .05), (0, 0), 1e-6),
    (lambda: certificates.hoeffding(1e15, 1e15, .05), (1, 1), 1e-6),
], ids=["clopper_pearson", "anytime", "none of 1e9", "hoeffding"])
def test_many_draws(attempt, bounds, want, tolerance):
    attempt(bounds, want, tolerance)


@pytest.mark.parametrize("log_w", [-1e5, 0, 1e5])
def test_equal_weights_have_the_size_of_the_sample(attempt, log_w):
    log_weights = np.full(10, log_w)
    def size(): return distributions.effective_sample_size(log_weights)
    attempt(size, 10)


# constant functions: weights of exactly 0

CONSTANTS = [.1, .3, .5, 1., 1e-9, 1e9, -.7]


@pytest.mark.parametrize("level", CONSTANTS)
@each("explain", {
    "lime": lambda v: lfa.lime(v, 0, 100, 5.).weights,
    "lime, no ridge": lambda v: lfa.lime(v, 0, 100, 5., 0.).weights,
    "lime, unweighted": lambda v: lfa.lime(v, 0, 100, 5., weighting=False).weights,
    "glime": lambda v: lfa.glime(v, 0, 100, 1.).weights,
    "kernel_shap": lambda v: perturbation.kernel_shap(v, 0, 100).weights,
    "bernoulli": lambda v: perturbation.kernel_shap(v, 0, 100, sampling="bernoulli").weights,
    "exhaustive": lambda v: perturbation.kernel_shap(v, 0, sampling="exhaustive").weights,
    "occlusion": lambda v: perturbation.occlusion(v, 0),
    "hsic": lambda v: perturbation.hsic(v, 0, 50),
    "sobol": lambda v: perturbation.sobol(v, 0),
    "limit": lambda v: limits.limit(v(distributions.all_masks(D))[:, 0], 1.),
})
def test_constant_functions_have_weights_of_exactly_0(attempt, explain, level):
    flat = function(lambda m: np.full((len(m), 2), level))
    attempt(lambda: explain(flat), np.zeros(D), 0.)


@pytest.mark.parametrize("level", CONSTANTS)
@pytest.mark.parametrize("method", lfa.TABLE_1)
def test_constant_functions_of_rows(attempt, method, level):
    def flat(rows): return rows.sum(1)*0 + level
    def weights(): return lfa.attribute(method, flat, A[None], 50)
    want = np.zeros((1, D))
    attempt(weights, want, 0.)


# counts of other types, and numbers that are none

def test_features_counted_in_8_bits_do_not_overflow(attempt):
    features = np.uint8(20)
    def by_chance(): return similarity.jaccard_by_chance(features, 3)
    attempt(by_chance, .0948, 1e-3)


@each("of_type", {
    "set": lambda whole: similarity.jaccard_by_chance(200, whole(150)),
    "top": lambda whole: similarity.jaccard(*MANY, whole(150)),
    "curve": lambda whole: similarity.chance_curve(whole(200)),
    "samples": lambda whole: perturbation.rise(LINEAR, 0, whole(200)),
})
def test_counts_of_8_bits_do_not_overflow(attempt, of_type):
    attempt(lambda: of_type(np.uint8), of_type(int))


def test_areas_of_large_boxes_do_not_overflow(attempt):
    boxes = np.array([[0, 0, 2**40, 2**40]])
    attempt(lambda: localisation.area(boxes), 2.**80)


@pytest.mark.parametrize("call", [
    lambda: claims.verdict("greater", .1, np.nan),
    lambda: claims.verdict("less", np.nan, .1),
    lambda: claims.verdict("equal", .2, .1),
    lambda: claims.verdict("equal", .1, .2, np.nan),
    lambda: claims.intervals(A, confidence=-1),
    lambda: claims.intervals(A, confidence=np.nan),
    lambda: claims.intervals(A*1j),
    lambda: claims.intervals(A, n_resamples=10**12),
    lambda: claims.interval(A, seed=None),
    lambda: localisation.box_of(MAPS[0], np.nan),
    lambda: localisation.box_of(MAPS[0], [.5, np.nan]),
    lambda: localisation.box_of(MAPS[0] + 1j),
    lambda: similarity.mse(A, B + 1j),
    lambda: similarity.over_pairs(np.stack([A, B])*1j, similarity.mse),
    lambda: similarity.each_pair(MAPS*1j, "ssim"),
    lambda: similarity.cosine_distance(A*1j, B),
    lambda: surrogates.ridge(Z, Y + 1j),
    lambda: surrogates.ridge(Z*1j, Y),
    lambda: boolean.fourier(TABLE*1j),
    lambda: certificates.clopper_pearson(3 + 1j, 9, .1),
    lambda: certificates.hoeffding(3, np.nan, .1),
    lambda: select_top([1., np.nan, 2.], .5),
    lambda: distributions.effective_sample_size([0., np.nan]),
    lambda: lfa.approximate(lambda rows: rows.sum(1)*1j, A, distributions.normal()),
    lambda: perturbation.random_ranking(function(len), 0, None),
    lambda: distributions.uniform().sample(5, 3, None),
    lambda: distributions.ball(3, 2, seed=None),
    lambda: subsets.diminishing_returns(lambda m: m.sum(1), 4, 10, None),
    lambda: surrogates.train_adam(Z, Y[None], np.ones(60), seed=None),
    lambda: boolean.random_problem(3, None),
    lambda: certificates.sample_additive(np.arange(5) < 2, 2, 5, None),
    lambda: faithfulness.mu_fidelity(LINEAR, W, 0, seed=None),
])
def test_what_is_no_number_is_refused(tally, call):
    try:
        got = call()
    except (ValueError, TypeError) as error:
        refuse(tally, "no number", error)
    else:
        tally.add("wrong", f"gave {got}")


# one feature

ONE = function(lambda m: .7*m[:, 0] + .1, 1)


@pytest.mark.parametrize("sampling", distributions.SAMPLINGS)
def test_one_feature_by_each_sampling(attempt, sampling):
    def shapley(): return perturbation.kernel_shap(ONE, 0, sampling=sampling).weights
    attempt(shapley, [.7])


@pytest.mark.parametrize("method", ["kernel_shap", "occlusion"])
def test_one_feature_of_rows(attempt, method):
    def line(x): return .7*x[:, 0] + .1
    def weights(): return lfa.attribute(method, line, np.ones((1, 1)))
    attempt(weights, [[.7]])


@each("weights", {
    "occlusion": lambda: perturbation.occlusion(ONE, 0),
    "lime": lambda: lfa.lime(ONE, 0, 50, alpha=0).weights,
    "glime": lambda: lfa.glime(ONE, 0, 50, 1., alpha=0).weights,
})
def test_one_feature(attempt, weights):
    attempt(weights, [.7])
