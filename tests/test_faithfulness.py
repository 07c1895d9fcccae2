"""Perturbation tests, curves and μFidelity against a loop, and what they cannot depend on."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import allclose, array_equal, isclose
from pytest import approx
from sklearn.metrics import mean_squared_error, r2_score
from value_tables import numbers_of

from xai_repro.evaluate.faithfulness import (
    deletion,
    insertion,
    local_fidelity,
    mu_fidelity,
    perturbation_test,
    pixel_curve,
    region_areas,
    region_perturbation_test,
)
from xai_repro.explain.distributions import ball
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.instance import Instance, function_instance, make_instance
from xai_repro.inputs.removal import Constant


def square_model(points: torch.Tensor) -> torch.Tensor:
    """A model with an interaction: points [n, p] -> [n]."""
    squares = (points**2).sum(1)
    interaction = points[:, 0]*points[:, 1]
    return squares + interaction


def random_points(seed: int, m: int = 4, p: int = 5) -> torch.Tensor:
    """Points [m, p] of normal numbers."""
    generator = np.random.default_rng(seed)
    return torch.as_tensor(generator.normal(size=(m, p)))


def random_attributions(seed: int) -> np.ndarray:
    """Attributions [4, 5] of normal numbers."""
    return random_points(seed).numpy()


def change_by_loop(
    x: torch.Tensor,
    attribution: np.ndarray,
    order: str,
    k: int,
    baseline: float,
) -> float:
    """How far the prediction moves when k features of one point are set to the baseline."""
    size = [abs(a) for a in attribution]
    ranked = sorted(range(len(x)), key=size.__getitem__, reverse=order == "top")
    perturbed = x.clone()
    perturbed[ranked[:k]] = baseline
    before = square_model(x[None])
    after = square_model(perturbed[None])
    return float((after - before).abs())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    order=st.sampled_from(["bottom", "top"]),
    baseline=st.floats(-1, 1),
)
def test_binary_is_the_loop(seed, order, baseline):
    X = random_points(seed)
    attributions = random_attributions(seed + 1)
    result = perturbation_test(square_model, X, attributions, order, baseline=baseline)
    for i, x in enumerate(X):
        for k in range(1, 6):
            by_loop = change_by_loop(x, attributions[i], order, k, baseline)
            change = result[i, k - 1]
            assert change == approx(by_loop, abs=1e-12)


def test_gaussian_noise_on_a_linear_model_has_its_expectation():
    w = torch.tensor([1., -2., 3.], dtype=torch.float64)
    X = random_points(0, 3, 3)
    attributions = np.tile(w.numpy(), (3, 1))
    options = dict(n_draws=40_000, sigma=.2)
    def linear(x): return x @ w
    result = perturbation_test(linear, X, attributions, "top", "gauss", **options)
    deviations = .2*np.sqrt([9, 13, 14])
    means = deviations*np.sqrt(2/np.pi)
    assert allclose(result, means, rtol=.02)


noises = pytest.mark.parametrize("noise", ["binary", "gauss"])


@noises
def test_all_features_leave_no_choice(noise):
    X = random_points(1)
    a = perturbation_test(square_model, X, random_attributions(0), "bottom", noise, seed=3)
    b = perturbation_test(square_model, X, random_attributions(1), "top", noise, seed=3)
    all_of_a = a[:, -1]
    all_of_b = b[:, -1]
    assert allclose(all_of_a, all_of_b, atol=1e-12)


@noises
def test_only_the_order_of_absolute_values_counts(noise):
    X = random_points(2)
    attributions = random_attributions(0)
    a = perturbation_test(square_model, X, attributions, "top", noise)
    b = perturbation_test(square_model, X, -attributions**3, "top", noise)
    assert array_equal(a, b)


def test_some_k_are_a_part_of_all():
    X = random_points(3)
    attributions = random_attributions(4)
    every = perturbation_test(square_model, X, attributions, noise="gauss", seed=1)
    some = perturbation_test(square_model, X, attributions, noise="gauss", seed=1, ks=[2, 5])
    assert array_equal(some, every[:, [1, 4]])


def test_another_seed_is_other_noise():
    X = random_points(3)
    attributions = random_attributions(4)
    a = perturbation_test(square_model, X, attributions, noise="gauss", seed=1)
    b = perturbation_test(square_model, X, attributions, noise="gauss", seed=2)
    assert not array_equal(a, b)


FITTING = dict(f=square_model, X=random_points(0), attributions=np.ones((4, 5)))


@pytest.mark.parametrize("options, words", [
    (dict(ks=[6]), ["k is 6", "from 1 to 5"]),
    (dict(order="middle"), ["order", "bottom, top"]),
    (dict(noise="salt"), ["noise", "binary, gauss"]),
    (dict(noise="gauss", sigma=-1), ["sigma"]),
    (dict(n_draws=0), ["n_draws"]),
    (dict(attributions=np.ones((4, 4))), ["attributions has shape (4, 4)", "(4, 5)"]),
    (dict(attributions=np.full((4, 5), np.nan)), ["attributions", "NaN"]),
    (dict(X=random_points(0)[0]), ["X has shape"]),
])
def test_bad_input(options, words):
    arguments = FITTING | options
    with pytest.raises(ValueError) as caught:
        perturbation_test(**arguments)
    message = str(caught.value)
    for word in words:
        assert word in message


# of regions

PARTS = torch.tensor([[0, 0, 2], [1, 3, 2], [1, 3, 3]])
SCORES = np.array([-2., 1., .5, 3.])
RANKED = {"bottom": [2, 1, 0, 3], "top": [3, 0, 1, 2]}     # PARTS by |SCORES|
pixel_weights = np.random.default_rng(5).normal(size=(3, 3, 3))


def linear_of_pixels(images: torch.Tensor) -> torch.Tensor:
    """Two scores of images [n, 3, 3, 3]: 0, and a weighted sum of the pixels."""
    score = (images.double()*torch.as_tensor(pixel_weights)).sum((1, 2, 3))
    return torch.stack([0*score, score], 1)


def linear_image(segments: torch.Tensor) -> Instance:
    """An image of middling greys in segments; what is absent is black."""
    pixels = np.random.default_rng(6).uniform(.4, .6, (3, 3, 3))
    image = torch.as_tensor(pixels).float()
    value = MaskedModel(linear_of_pixels, image, segments, Constant((0., 0., 0.)))
    return make_instance(value, None, 1)


def of_regions(per_pixel: np.ndarray, order: str) -> np.ndarray:
    """Sums [n, 4] of numbers [n, 3, 3] over the first 1..4 regions in an order."""
    sums = [per_pixel[:, PARTS == region].sum(1) for region in RANKED[order]]
    return np.cumsum(sums, axis=0).T


orders = pytest.mark.parametrize("order", ["bottom", "top"])


@orders
def test_regions_left_out_of_a_linear_function(order):
    instance = linear_image(PARTS)
    image = instance.value.image.double().numpy()
    expected = of_regions((pixel_weights*image).sum(0)[None], order)[0]
    result = region_perturbation_test(instance, SCORES, order)
    assert allclose(result, np.abs(expected), atol=1e-6)
    of_pixels = linear_image(torch.arange(9).view(3, 3))
    by_pixel = region_perturbation_test(of_pixels, SCORES, order, regions=PARTS)
    assert allclose(by_pixel, result, atol=1e-12)


@orders
def test_noise_on_the_regions_of_a_linear_function(order):
    drawn = .02*np.random.default_rng(7).standard_normal((9, 1, 4))
    per_pixel = pixel_weights.sum(0)*drawn[:, 0][:, PARTS]
    expected = np.abs(of_regions(per_pixel, order)).mean(0)
    options = dict(n_draws=9, sigma=.02, seed=7)
    result = region_perturbation_test(linear_image(PARTS), SCORES, order, "gauss", **options)
    assert allclose(result, expected, atol=1e-6)


@orders
def test_noise_on_the_pixels_of_the_regions_of_a_linear_function(order):
    drawn = .02*np.random.default_rng(7).standard_normal((9, 1, 9))
    per_pixel = pixel_weights.sum(0)*drawn.reshape(9, 3, 3)
    expected = np.abs(of_regions(per_pixel, order)).mean(0)
    instance = linear_image(torch.arange(9).view(3, 3))
    options = dict(n_draws=9, sigma=.02, seed=7, regions=PARTS)
    result = region_perturbation_test(instance, SCORES, order, "gauss", **options)
    assert allclose(result, expected, atol=1e-6)
    some = region_perturbation_test(instance, SCORES, order, "gauss", ks=[2], **options)
    assert array_equal(some, result[[1]])


@noises
def test_methods_that_perturb_the_same_regions_share_their_passes(noise):
    instance = linear_image(PARTS)
    region_perturbation_test(instance, SCORES, "top", noise, n_draws=5)
    before = instance.n_queries
    again = region_perturbation_test(instance, 1/SCORES, "bottom", noise, n_draws=5)
    assert instance.n_queries == before
    assert array_equal(again, region_perturbation_test(instance, SCORES, "top", noise, n_draws=5))


@pytest.mark.parametrize("options, words", [
    (dict(ks=[5]), ["k is 5", "from 1 to 4"]),
    (dict(order="middle"), ["order", "bottom, top"]),
    (dict(noise="salt"), ["noise", "binary, gauss"]),
    (dict(scores=np.ones(3)), ["scores has shape (3,)", "(4,)"]),
    (dict(scores=np.full(4, np.nan)), ["scores holds", "NaN"]),
    (dict(regions=[0, 1, 1]), ["regions has shape (3,)", "(4,)"]),
    (dict(regions=[0, 1, 1, 3]), ["regions has 3 labels from 0 to 3"]),
    (dict(noise="gauss"), ["has no gradients"]),
])
def test_bad_input_of_regions(options, words):
    instance = function_instance(lambda masks: masks.sum(1), 4)
    with pytest.raises(ValueError) as caught:
        region_perturbation_test(**(dict(instance=instance, scores=np.ones(4)) | options))
    message = str(caught.value)
    for word in words:
        assert word in message


# insertion, deletion, highest confidence

class TwoClasses:
    """A value function of random probabilities of two classes, by a table."""

    def __init__(self, d: int, seed: int):
        self.n_features = d
        generator = np.random.default_rng(seed)
        self.table = generator.random(2**d)

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        p = self.table[numbers_of(masks)]
        return np.stack([p, 1 - p], 1)


def class_score(value, mask: np.ndarray, target: int) -> float:
    """The score of one class, given one mask."""
    scores = value(mask[None])
    return scores[0, target]


def curve_by_loop(value, order, target, areas, gone) -> tuple[list[float], list[float]]:
    """The curve's x and y, a step at a time."""
    mask = np.full(len(order), gone)
    area = 0.
    x = [area]
    y = [class_score(value, mask, target)]
    for feature in order:
        mask[feature] = not gone
        area += areas[feature]
        x.append(area)
        y.append(class_score(value, mask, target))
    return x, y


def trapezoids(x: list[float], y: list[float]) -> float:
    """The area under a curve."""
    area = 0.
    for k in range(len(x) - 1):
        width = x[k + 1] - x[k]
        height = (y[k + 1] + y[k])/2
        area += width*height
    return area


def equal_areas(d: int) -> np.ndarray:
    """Equal shares [d] of a picture."""
    return np.full(d, 1/d)


def random_areas(d: int, seed: int) -> np.ndarray:
    """Shares [d] of a picture, none of them near 0."""
    uniform = np.random.default_rng(seed).random(d)
    sizes = uniform + .01
    return sizes/sizes.sum()


curves = given(
    d=st.integers(1, 8),
    seed=st.integers(0, 10**6),
    target=st.integers(0, 1),
    equal=st.booleans(),
)


@pytest.mark.parametrize("gone", [False, True])
@settings(max_examples=40, deadline=None)
@curves
def test_curves_are_what_a_loop_makes(gone, d, seed, target, equal):
    value = TwoClasses(d, seed)
    order = np.random.default_rng(seed).permutation(d)
    areas = equal_areas(d) if equal else random_areas(d, seed)
    function = deletion if gone else insertion
    curve = function(value, order, target, None if equal else areas)
    x, y = curve_by_loop(value, order, target, areas, gone)
    assert len(curve.x) == d + 1
    assert allclose(curve.x, x)
    assert allclose(curve.y, y)
    assert isclose(curve.auc, trapezoids(x, y))


@settings(max_examples=40, deadline=None)
@curves
def test_the_highest_score_is_the_largest_within_the_area(d, seed, target, equal):
    value = TwoClasses(d, seed)
    order = np.random.default_rng(seed).permutation(d)
    areas = equal_areas(d) if equal else random_areas(d, seed)
    curve = insertion(value, order, target, areas)
    of_the_first = areas[order[0]] + 1e-6
    for within in (min(of_the_first, 1.), 1.):
        n_steps = sum(curve.x <= within + 1e-9)
        scores = curve.y[1:n_steps]
        assert isclose(curve.highest(within), max(scores))


def test_deletion_is_insertion_of_the_reverse_read_backwards():
    value = TwoClasses(6, 0)
    order = np.random.default_rng(1).permutation(6)
    forwards = deletion(value, order, 0).y
    backwards = insertion(value, order[::-1], 0).y
    assert allclose(forwards, backwards[::-1])


SEGMENTS = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])


def test_areas_of_regions():
    areas = region_areas(SEGMENTS)
    assert allclose(areas, [.5, .25, .25])


def test_black_pixels_do_not_count():
    image = np.ones((3, 2, 4))
    image[:, 0, 2:] = 0
    image[0, 1, 3] = 0  # lacks only red
    areas = region_areas(SEGMENTS, image)
    assert allclose(areas, [4/6, 0, 2/6])


# mu-fidelity

def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, ties averaged, by a loop."""
    in_order = sorted(values)
    ranks = []
    for value in values:
        first = in_order.index(value)
        last = first + in_order.count(value) - 1
        ranks.append((first + last)/2)
    return np.array(ranks)


def spearman_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ranks."""
    ranks_a = mean_ranks(a)
    ranks_b = mean_ranks(b)
    a = ranks_a - ranks_a.mean()
    b = ranks_b - ranks_b.mean()
    square = (a @ a)*(b @ b)
    return (a @ b)/np.sqrt(square)


def absent_sets(sizes: str) -> np.ndarray:
    """The 40 sets of 6 features that mu_fidelity draws with seed 3 and a share of 0.3."""
    uniform = np.random.default_rng(3).random((40, 6))
    if sizes == "bernoulli": return uniform < .3
    absent = np.zeros((40, 6), bool)
    for i, numbers in enumerate(uniform):
        two_smallest = numbers.argsort()[:2]
        absent[i, two_smallest] = True
    return absent


@pytest.mark.parametrize("sizes", ["bernoulli", "fixed"])
def test_mu_fidelity_is_a_second_implementation_s(sizes):
    value = TwoClasses(6, 5)
    scores = np.random.default_rng(2).normal(size=6)
    full = class_score(value, np.ones(6, bool), 1)
    sums = []
    falls = []
    for absent in absent_sets(sizes):
        sums.append(sum(scores[absent]))
        rest = class_score(value, ~absent, 1)
        falls.append(full - rest)
    options = dict(n_samples=40, subset=.3, seed=3, sizes=sizes)
    by_ranks = mu_fidelity(value, scores, 1, **options)
    assert isclose(by_ranks, spearman_by_hand(sums, falls))
    by_numbers = mu_fidelity(value, scores, 1, **options, correlation="pearson")
    correlations = np.corrcoef(sums, falls)
    assert isclose(by_numbers, correlations[0, 1])


class Additive:
    """A value function of one class: the sum of the present features' weights."""

    def __init__(self, weights: np.ndarray):
        self.n_features = len(weights)
        self.weights = weights

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        scores = masks @ self.weights
        return scores[:, None]


def test_mu_fidelity_of_the_true_weights_is_one():
    weights = np.array([.1, .3, .05, .2])
    value = Additive(weights)
    of_weights = mu_fidelity(value, weights, 0, correlation="pearson")
    assert isclose(of_weights, 1)
    of_opposite = mu_fidelity(value, -weights, 0)
    assert isclose(of_opposite, -1)


# pixels

def mean_and_red(images: torch.Tensor) -> torch.Tensor:
    """Scores [B, 2] of images: their mean and their largest red value."""
    mean = images.mean((1, 2, 3))
    red = images[:, 0].amax((1, 2))
    return torch.stack([mean, red], 1)


@pytest.fixture
def image() -> torch.Tensor:
    """A random image [3, 5, 6]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 5, 6, generator=generator)


@pytest.fixture
def pixel_scores() -> np.ndarray:
    """Scores [5, 6] of the pixels, no two alike."""
    return np.random.default_rng(0).random((5, 6))


@pytest.mark.parametrize("gone", [False, True])
def test_a_pixel_curve_is_what_a_loop_makes(image, pixel_scores, gone):
    order = (-pixel_scores.ravel()).argsort()
    options = dict(steps=7, gone=gone, batch_size=3)
    curve = pixel_curve(mean_and_red, image, pixel_scores, 1, **options)
    assert len(curve.x) == 8
    assert curve.x[-1] == 1
    for x, y in zip(curve.x, curve.y, strict=True):
        n_taken = round(x*30)
        mask = np.full(30, gone)
        mask[order[:n_taken]] = not gone
        masked = image*torch.tensor(mask.reshape(5, 6))
        red = masked[0]
        assert isclose(y, float(red.max()))


def test_a_pixel_a_step_is_a_region_of_one_pixel(image, pixel_scores):
    order = (-pixel_scores.ravel()).argsort()
    pixels = torch.arange(30).view(5, 6)
    black = Constant((0., 0., 0.))
    value = MaskedModel(mean_and_red, image, pixels, black)
    by_pixels = pixel_curve(mean_and_red, image, pixel_scores, 1, steps=30)
    by_regions = insertion(value, order, 1)
    assert isclose(by_pixels.auc, by_regions.auc)


TWO = TwoClasses(3, 0)
ORDER = [0, 1, 2]


@pytest.mark.parametrize("call, words", [
    (lambda: insertion(TWO, [0, 1], 0), "order is .*allowed: each of 0..2 once"),
    (lambda: insertion(TWO, [0., 1., 2.], 0), "whole numbers"),
    (lambda: deletion(TWO, [0, 1, 1], 0), "each of 0..2 once"),
    (lambda: deletion(TWO, ORDER, 0, [.2, .2, .2]), "areas sums to 0.6"),
    (lambda: deletion(TWO, ORDER, 0, [1.2, -.4, .2]), "smallest -0.4"),
    (lambda: deletion(TWO, ORDER, 0, [.5, .5]), r"areas has shape \(2,\); allowed: \(3,\)"),
    (lambda: deletion(TWO, ORDER, 2), "target is 2; allowed: a whole number from 0 to 1"),
    (lambda: insertion(TWO, ORDER, 0).highest(.2), "within is 0.2; allowed: at least 0.333"),
    (lambda: insertion(TWO, ORDER, 0).highest(1.2), "within is 1.2"),
    (lambda: mu_fidelity(TWO, [1, 2], 0), r"scores has shape \(2,\)"),
    (lambda: mu_fidelity(TWO, [1, 2, np.nan], 0), "scores holds 1 values that are NaN"),
    (lambda: mu_fidelity(TWO, [1, 2, 3], 0, subset=1.), "subset is 1.0"),
    (lambda: mu_fidelity(TWO, [0, 0, 0], 0), "the sum of scores is 0 for all of 200 sets"),
    (lambda: region_areas(np.zeros((2, 2), int), np.zeros((3, 2, 2))),
     "image is black everywhere"),
])
def test_bad_curves(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# local fidelity

def wave(points: np.ndarray) -> np.ndarray:
    """A model that is not linear: points [n, d] -> [n]."""
    sines = np.sin(points).sum(1)
    interaction = points[:, 0]*points[:, 1]
    return sines + interaction


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    norm=st.sampled_from([1, 2, "inf"]),
    radius=st.floats(.1, 5),
)
def test_local_fidelity_is_sklearns_on_the_points_of_the_ball(seed, norm, radius):
    generator = np.random.default_rng(seed)
    center, w = generator.normal(size=(2, 4))
    def surrogate(points): return points @ w + .3
    points = center + ball(50, 4, norm, radius, seed)
    y = wave(points)
    explained = surrogate(points)
    r2 = local_fidelity(wave, surrogate, center, norm, radius, 50, seed)
    assert r2 == approx(r2_score(y, explained), abs=1e-9)
    inverse = local_fidelity(wave, surrogate, center, norm, radius, 50, seed, "inverse_mse")
    error = mean_squared_error(y, explained)
    assert inverse == approx(1/(1 + error), abs=1e-12)


def sum_of_features(points: np.ndarray) -> np.ndarray:
    """A linear model: points [n, d] -> [n]."""
    return points.sum(1)


LINEAR = dict(f=sum_of_features, g=sum_of_features, center=[0., 0., 0.])


@pytest.mark.parametrize("wrong, message", [
    (dict(measure="mse"), "measure is 'mse'; allowed: r2, inverse_mse"),
    (dict(norm="l2"), "norm is 'l2'; allowed: 1, 2, inf"),
    (dict(radius=0.), "radius is 0.0"),
    (dict(n=1), "n is 1"),
    (dict(f=lambda X: np.ones(len(X))), "f is 1 everywhere"),
    (dict(f=lambda X: X), r"f returned shape \(1000, 3\)"),
    (dict(g=lambda X: X[:, 0]/0), "g returned 1000 scores that are NaN or infinite"),
    (dict(center=[0., np.inf, 0.]), "center holds 1 values"),
])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_errors_of_local_fidelity_name_the_argument(wrong, message):
    arguments = LINEAR | wrong
    with pytest.raises(ValueError, match=message):
        local_fidelity(**arguments)
