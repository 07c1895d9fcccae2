"""Very large, very small, shifted and constant numbers: right to rounding, or refused."""
import warnings

import numpy as np
import pytest
import torch

from xai_repro.evaluate import boolean, certificates, faithfulness, localisation, seed_stability
from xai_repro.evaluate import similarity
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
SCALES = [1e-300, 1e-200, 1e-160, 1e-30, 1e30, 1e150, 1e200, 1e300]


@pytest.fixture(autouse=True)
def _quiet():
    """Warnings are looked at by other tests."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def attempt(tally, what, call, want, tolerance=1e-6):
    """Count a call as right, refused by an error that says what is allowed, or wrong."""
    try:
        got = np.asarray(call(), float)
    except (ValueError, TypeError) as error:
        is_named = "allowed" in str(error)
        tally.add("refused" if is_named else "wrong", f"{what}: {error}")
        return
    want = np.asarray(want, float)
    bound = tolerance*(np.abs(want).max() or 1)
    is_right = np.isfinite(got).all() and (np.abs(got - want) <= bound).all()
    tally.add("right" if is_right else "wrong", f"{what}: {got.ravel()[:3]} for {want.ravel()[:3]}")


def function(f, d=D): return MaskFunction(f, d)


# what is unchanged, or grows, when all scores are multiplied by a number: (what, of a factor)
def lime_weights(c): return lfa.lime(function(lambda m: c*(m @ W)), 0, 200, 2., 0.).weights/c
def glime_weights(c): return lfa.glime(function(lambda m: c*(m @ W)), 0, 200, 2.).weights/c
def shap(c): return perturbation.kernel_shap(function(lambda m: c*(m @ W)), 0).weights/c
def occlusion(c): return perturbation.occlusion(function(lambda m: c*(m @ W)), 0)/c
def rise(c): return perturbation.rise(function(lambda m: c*(m @ W)), 0)/c
def hsic(c): return perturbation.hsic(function(lambda m: c*(m @ W)), 0)
def sobol(c): return perturbation.sobol(function(lambda m: c*(m @ W)), 0)
def r2(c): return surrogates.ridge(Z, Y*c, alpha=1.).r2
def coef(c): return surrogates.ridge(Z, Y*c, alpha=1.).coef/c
def of_weights(c): return surrogates.ridge(Z, Y, np.full(60, c), 0.).coef
def intercept(c): return surrogates.fitted_by(W[None]*c, Z.astype(float), Y[None]*c, np.ones(60))[1]
def limit(c): return limits.limit(TABLE*c, 1.)/c
def fit_all(c): return limits.fit_all(TABLE*c, np.full(16, 1/16), .1)/c
def cosine(c): return similarity.cosine_distance(A*c, B*c)
def cosine_apart(c): return similarity.cosine_distance(A*c, B)
def l1(c): return similarity.l1_distance(A*c, B*c)/c
def mae(c): return similarity.mae(A*c, B*c)/c
def pearson(c): return similarity.pearson(A*c, B*c)
def spearman(c): return similarity.spearman(A*c, B*c)
def jaccard(c): return similarity.jaccard(A*c, B*c, 3)
def jaccard_curve(c): return similarity.jaccard_curve(A*c, B*c)
def ssim(c): return similarity.ssim(*(MAPS*c))
def hog(c): return similarity.hog_correlation(*(MAPS*c))
def box(c): return localisation.box_of(MAPS[0]*c)
def top(c): return select_top(A*c, .5)
def intervals(c): return np.array(claims.intervals(A*c))/c
def fourier(c): return boolean.fourier(TABLE*c)/c
def monotone(c): return boolean.monotone(TABLE*c)/c
def mass(c): return boolean.mass(TABLE*c)/c
def agreement(c): return [*seed_stability.agreement([A*c, B*c]).values()]


def mu_fidelity(c):
    return faithfulness.mu_fidelity(function(lambda m: c*(m @ A)), A*c, 0)


def local_fidelity(c):
    def f(points): return c*(points**2).sum(1)
    def g(points): return c*points.sum(1)
    return faithfulness.local_fidelity(f, g, A, n=50)


def insertion(c):
    return faithfulness.insertion(function(lambda m: c*(m @ W)), np.arange(D), 0).auc/c


def approximate(c):
    def f(rows): return c*(rows**2).sum(1)
    return lfa.approximate(f, A, distributions.normal(.1), n_samples=60).weights/c


def integrated(c):
    def f(rows): return c*(rows**2).sum(1)
    return lfa.attribute("integrated_gradients", f, A[None], 20)/c


def lima_order(c):
    embed = function(lambda m: c*(m.astype(float) @ np.eye(D)[:, :4] + 1))
    probabilities = function(lambda m: np.stack([m @ W/9 + .5, .5 - m @ W/9], 1))
    return subsets.lima(probabilities, 0, embed).order


SCALED = [
    lime_weights, glime_weights, shap, occlusion, rise, hsic, sobol, r2, coef, of_weights,
    intercept, limit, fit_all, cosine, cosine_apart, l1, mae, pearson, spearman, jaccard,
    jaccard_curve, ssim, hog, box, top, intervals, fourier, monotone, mass, agreement, mu_fidelity,
    local_fidelity, insertion, approximate, integrated, lima_order,
]


@pytest.mark.parametrize("measure", SCALED)
def test_a_factor_changes_nothing_else(tally, measure):
    want = measure(1.)
    for c in SCALES: attempt(tally, f"{measure.__name__} times {c:g}", lambda c=c: measure(c), want)


def shifted(explain, c):
    """Weights of a sum, to which a large number is added."""
    return explain(function(lambda m: c + m @ W))


EXPLAIN = {
    "lime": lambda value: lfa.lime(value, 0, 300, 5., 0.).weights,
    "kernel_shap": lambda value: perturbation.kernel_shap(value, 0, 300).weights,
    "exhaustive": lambda v: perturbation.kernel_shap(v, 0, sampling="exhaustive").weights,
    "occlusion": lambda value: perturbation.occlusion(value, 0),
    "every mask": lambda v: lfa.explain(v, 0, distributions.exhaustive(), 0.).weights,
}


@pytest.mark.parametrize("name", EXPLAIN)
def test_prices_and_likelihoods_keep_their_digits(tally, name):
    for c in (0, 1e3, 1e5, 1e7, 1e9, -1e9):
        attempt(tally, f"{name} + {c:g}", lambda c=c: shifted(EXPLAIN[name], c), W, 1e-2)


def test_squares_too_large_to_be_numbers(tally):
    want = similarity.mse(A, B)
    for c in (1e-100, 1e100, 1e160, 1e300):
        attempt(tally, f"mse times {c:g}", lambda c=c: similarity.mse(A*c, B*c)/c/c, want)


def test_shifts(tally):
    base = surrogates.ridge(Z, Y).coef
    for c in (1e4, 1e8, 1e12):
        attempt(tally, f"ridge + {c:g}", lambda c=c: surrogates.ridge(Z, Y + c).coef, base, 1e-3)
    want = similarity.pearson(A, B)
    attempt(tally, "pearson", lambda: similarity.pearson(A + 1e9, B + 1e9), want, 1e-4)
    of_shifted = np.array(claims.intervals(A))
    attempt(tally, "intervals", lambda: np.array(claims.intervals(A + 1e12)) - 1e12, of_shifted,
            1e-3)


@pytest.mark.parametrize("alpha", [1e-300, 1e-30, 1e-18, 1e-14])
@pytest.mark.parametrize("n, d", [(60, 8), (10, 30), (40, 40)])
def test_a_tiny_ridge_is_none(tally, alpha, n, d):
    generator = np.random.default_rng(n)
    rows = generator.random((n, d)) < .5
    y = rows @ np.linspace(-1, 1, d)
    want = surrogates.ridge(rows, y, alpha=0).coef
    attempt(tally, f"ridge {alpha:g}", lambda: surrogates.ridge(rows, y, alpha=alpha).coef, want)
    doubled = np.concatenate([rows, rows], 1)
    half = np.concatenate([want, want])/2
    attempt(tally, "columns twice", lambda: surrogates.ridge(doubled, y, alpha=alpha).coef, half)


def test_columns_of_other_units(tally):
    base = surrogates.ridge(Z, Y, alpha=0).coef
    for c in (1e-12, 1e-8, 1e8, 1e12):
        units = np.r_[c, np.ones(D - 1)]
        attempt(tally, f"a column times {c:g}",
                lambda units=units: surrogates.ridge(Z*units, Y, alpha=0).coef*units, base, 1e-3)


def test_fewer_rows_than_features_have_the_same_ridge(tally):
    """By n equations instead of d, above 1024 features."""
    generator = np.random.default_rng(1)
    rows = generator.random((40, 1500)) < .5
    y = generator.normal(size=40)
    w = generator.random(40)
    centred = rows - (w @ rows)/w.sum()
    scores = y - (w @ y)/w.sum()
    gram = centred*w[:, None]
    for alpha in (1e-3, 1., 100.):
        matrix = centred.T @ gram + alpha*np.eye(1500)
        want = np.linalg.solve(matrix, gram.T @ scores)
        attempt(tally, f"ridge {alpha:g}",
                lambda alpha=alpha: surrogates.ridge(rows, y, w, alpha).coef, want)


def test_widths(tally):
    value = function(lambda m: m @ W)
    for sigma in (1e-200, 1e-3, 1e160, 1e200):
        attempt(tally, f"lime {sigma:g}",
                lambda sigma=sigma: lfa.lime(value, 0, 500, sigma, 0.).weights, W, .05)
    for sigma in (1e-200, 1e200):
        attempt(tally, f"glime {sigma:g}",
                lambda sigma=sigma: lfa.glime(value, 0, 500, sigma, alpha=1e-9).weights, W, .05)
        attempt(tally, f"moments {sigma:g}",
                lambda sigma=sigma: limits.binomial_moments(5, sigma).diagonal, 1.)
    attempt(tally, "lime_total", lambda: limits.lime_total(10**6, .25), 0.)


def linear(rows): return rows @ torch.arange(1., D + 1, dtype=rows.dtype)


class OfFloat32:
    """A function that takes float32 only."""

    def __init__(self): self.weights = torch.arange(1., D + 1)

    def __call__(self, rows): return rows @ self.weights


def test_noise_beside_large_inputs(tally):
    want = np.arange(1., D + 1)
    for f in (linear, OfFloat32()):
        for x in (1e5, 1e7, 1e10, 1e20):
            for dtype in (np.float32, np.float64):
                attempt(tally, f"{f} at {x:g}", lambda f=f, x=x, dtype=dtype: lfa.approximate(
                    f, np.full(D, x, dtype), distributions.normal(.01), n_samples=500).weights,
                    want, .05)


def test_small_inputs_of_float32(tally):
    x = np.full((1, D), 1e-30, np.float32)
    attempt(tally, "squares", lambda: lfa.attribute(
        "integrated_gradients", lambda rows: (rows**2).sum(1), x, 50)/1e-60, np.ones((1, D)), 1e-3)


def test_many_draws(tally):
    attempt(tally, "clopper_pearson", lambda: certificates.clopper_pearson(5e8, 1e9, .05),
            (.5 - 3.1e-5, .5 + 3.1e-5), 1e-4)
    attempt(tally, "anytime", lambda: certificates.anytime(5e11, 1e12, .05), (.5, .5), 1e-3)
    attempt(tally, "none of 1e9", lambda: certificates.anytime(0, 1e9, .05), (0, 0))
    attempt(tally, "hoeffding", lambda: certificates.hoeffding(1e15, 1e15, .05), (1, 1))
    for log_w in (-1e5, 0, 1e5):
        attempt(tally, "effective size",
                lambda log_w=log_w: distributions.effective_sample_size(np.full(10, log_w)), 10)


# constant functions: weights of exactly 0

CONSTANTS = [.1, .3, .5, 1., 1e-9, 1e9, -.7]
WEIGHTS_OF_CONSTANT = {
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
}


@pytest.mark.parametrize("name", WEIGHTS_OF_CONSTANT)
def test_constant_functions_have_weights_of_exactly_0(tally, name):
    for level in CONSTANTS:
        value = function(lambda m, level=level: np.full((len(m), 2), level))
        attempt(tally, f"{name} of {level}", lambda v=value: WEIGHTS_OF_CONSTANT[name](v),
                np.zeros(D), 0.)


@pytest.mark.parametrize("method", lfa.TABLE_1)
def test_constant_functions_of_rows(tally, method):
    for level in CONSTANTS:
        def flat(rows, level=level): return rows.sum(1)*0 + level
        attempt(tally, f"{method} of {level}", lambda f=flat: lfa.attribute(
            method, f, A[None], 50), np.zeros((1, D)), 0.)


# counts of other types, and numbers that are none

def test_counts_do_not_overflow(tally):
    attempt(tally, "uint8 features", lambda: similarity.jaccard_by_chance(np.uint8(20), 3), .0948,
            1e-3)
    want = similarity.jaccard_by_chance(200, 150)
    attempt(tally, "uint8 set", lambda: similarity.jaccard_by_chance(200, np.uint8(150)), want)
    many = RANDOM.normal(size=(2, 200))
    want = similarity.jaccard(*many, 150)
    attempt(tally, "uint8 top", lambda: similarity.jaccard(*many, np.uint8(150)), want)
    want = similarity.chance_curve(200)
    attempt(tally, "uint8 curve", lambda: similarity.chance_curve(np.uint8(200)), want)
    want = perturbation.rise(function(lambda m: m @ W), 0, 200)
    attempt(tally, "uint8 samples",
            lambda: perturbation.rise(function(lambda m: m @ W), 0, np.uint8(200)), want)
    boxes = np.full((1, 4), 2**40)
    attempt(tally, "large boxes", lambda: localisation.area(boxes*[0, 0, 1, 1]), 2.**80)


NOT_NUMBERS = [
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
    lambda: faithfulness.mu_fidelity(function(lambda m: m @ W), W, 0, seed=None),
]


@pytest.mark.parametrize("call", NOT_NUMBERS)
def test_what_is_no_number_is_refused(tally, call):
    try:
        got = call()
    except (ValueError, TypeError) as error:
        tally.add("refused" if "allowed" in str(error) else "wrong", str(error))
    else:
        tally.add("wrong", f"gave {got}")


def test_one_feature(tally):
    one = function(lambda m: .7*m[:, 0] + .1, 1)
    for sampling in distributions.SAMPLINGS:
        def shapley(sampling=sampling):
            return perturbation.kernel_shap(one, 0, sampling=sampling).weights

        attempt(tally, f"kernel_shap, {sampling}", shapley, [.7])
    for name in ("kernel_shap", "occlusion"):
        attempt(tally, f"rows, {name}", lambda name=name: lfa.attribute(
            name, lambda x: .7*x[:, 0] + .1, np.ones((1, 1))), [[.7]])
    attempt(tally, "occlusion", lambda: perturbation.occlusion(one, 0), [.7])
    attempt(tally, "lime", lambda: lfa.lime(one, 0, 50, alpha=0).weights, [.7])
    attempt(tally, "glime", lambda: lfa.glime(one, 0, 50, 1., alpha=0).weights, [.7])
