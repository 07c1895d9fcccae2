"""Jaccard against brute force over every tie-break, and metrics of maps against second ones."""
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from pytest import approx
from scipy.stats import pearsonr

from xai_repro.evaluate.similarity import (
    MAPS,
    chance_curve,
    hog_correlation,
    jaccard,
    jaccard_by_chance,
    jaccard_curve,
    mae,
    mse,
    over_pairs,
    pearson,
    pairwise,
    spearman,
    ssim,
)


def top_sets(w: np.ndarray, k: int) -> list[set[int]]:
    """Every top-k set that some order of the ties gives."""
    cut = np.sort(w)[-k]
    sure = set(np.flatnonzero(w > cut))
    tied = np.flatnonzero(w == cut)
    choices = combinations(tied, k - len(sure))
    return [sure | set(chosen) for chosen in choices]


def jaccard_of_sets(a: set, b: set) -> float:
    """|A ∩ B| / |A ∪ B|."""
    union = a | b
    return len(a & b)/len(union)


def brute_force(a: np.ndarray, b: np.ndarray, k: int) -> float:
    """The mean over every pair of tie-breaks."""
    values = []
    for set_a in top_sets(a, k):
        values += [jaccard_of_sets(set_a, set_b) for set_b in top_sets(b, k)]
    return np.mean(values)


whole = st.integers(-2, 2)
seven = st.lists(whole, min_size=7, max_size=7)
weights = seven.map(lambda v: np.array(v, float))
rankings = st.sampled_from(["signed", "absolute"])


@settings(max_examples=150, deadline=None)
@given(a=weights, b=weights, k=st.integers(1, 7), by=rankings)
def test_expected_over_tie_breaks(a, b, k, by):
    result = jaccard(a, b, k, by)
    if by == "absolute":
        a = np.abs(a)
        b = np.abs(b)
    expected = brute_force(a, b, k)
    assert result == approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=weights, b=weights, by=rankings, ties=st.sampled_from(["expected", "index"]))
def test_curve_is_every_k(a, b, by, ties):
    curve = jaccard_curve(a, b, by, ties)
    assert len(curve) == 7
    for k, value in enumerate(curve, start=1):
        expected = jaccard(a, b, k, by, ties)
        assert value == approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=weights, b=weights, k=st.integers(1, 7))
def test_symmetric_bounded_and_blind_to_scale(a, b, k):
    value = jaccard(a, b, k)
    assert -1e-12 <= value <= 1 + 1e-12
    assert value == approx(jaccard(b, a, k))
    scaled = 3*a
    shifted = b + 1
    assert value == approx(jaccard(scaled, shifted, k))


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 8), data=st.data())
def test_chance_level_by_enumeration(d, data):
    k = data.draw(st.integers(1, d))
    one = set(range(k))
    others = combinations(range(d), k)
    values = [jaccard_of_sets(one, set(other)) for other in others]
    exact = sum(values)/comb(d, k)
    assert jaccard_by_chance(d, k) == approx(exact, abs=1e-12)


def test_equal_zeros_do_not_look_like_agreement():
    zeros = np.zeros(40)
    chance = jaccard_by_chance(40, 20)
    assert jaccard(zeros, zeros, 20) == approx(chance)
    assert jaccard(zeros, zeros, 20, ties="index") == 1


def test_random_rankings_reach_the_chance_level():
    generator = np.random.default_rng(0)
    curves = []
    for _ in range(2000):
        a, b = generator.normal(size=(2, 40))
        curves.append(jaccard_curve(a, b))
    mean = np.mean(curves, 0)
    standard_error = np.std(curves, 0)/np.sqrt(2000)
    chance = chance_curve(40)
    assert np.allclose(mean, chance, atol=5*standard_error + 1e-9)


@pytest.mark.parametrize("k", range(1, 6))
def test_index_ties_are_argsorts(k):
    a = np.array([0, 1, 0, 0, 2.])
    b = np.array([0, 0, 0, 1, 1.])
    order_a = a.argsort(kind="stable")
    order_b = b.argsort(kind="stable")
    top_a = set(order_a[-k:])
    top_b = set(order_b[-k:])
    value = jaccard(a, b, k, ties="index")
    assert value == approx(jaccard_of_sets(top_a, top_b))


@pytest.fixture
def explanations() -> np.ndarray:
    """Four explanations of nine features."""
    return np.random.default_rng(1).normal(size=(4, 9))


def test_pairs(explanations):
    errors = []
    for i in range(4):
        for j in range(i):
            difference = explanations[i] - explanations[j]
            errors.append((difference**2).mean())
    mean = over_pairs(explanations, mse)
    assert mean == approx(np.mean(errors))


def test_correlations(explanations):
    a, b, *_ = explanations
    theirs = pearsonr(a, b)
    assert pearson(a, b) == approx(theirs.statistic)
    of_ranks = rank_correlation(a, b)
    assert spearman(a, b) == approx(of_ranks)
    assert mae(a, a) == 0


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation, by numpy."""
    matrix = np.corrcoef(a, b)
    return matrix[0, 1]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ranks, without ties."""
    ranks_a = a.argsort().argsort()
    ranks_b = b.argsort().argsort()
    return correlation(ranks_a.astype(float), ranks_b.astype(float))


# maps of pixels

def random_maps(seed: int) -> np.ndarray:
    """Two smooth maps [2, 50, 53]."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(2, 50, 53))
    return noise.cumsum(1).cumsum(2)


pairs_of_maps = st.integers(0, 10_000).map(random_maps)


def rescaled(m: np.ndarray) -> np.ndarray:
    """A map divided by its largest absolute value."""
    return m/np.abs(m).max()


def windows(m: np.ndarray) -> np.ndarray:
    """All windows of 5×5 pixels: [rows, columns, 25]."""
    views = sliding_window_view(m, (5, 5))
    return views.reshape(*views.shape[:2], 25)


def second_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Window 5, range 2, sample covariances, the mean without a border of 2 (Wang et al. 2004)."""
    u = windows(rescaled(a))
    v = windows(rescaled(b))
    mean_u = u.mean(-1)
    mean_v = v.mean(-1)
    centred_u = u - mean_u[..., None]
    centred_v = v - mean_v[..., None]
    products = centred_u*centred_v
    covariance = products.sum(-1)/24
    variance_u = u.var(-1, ddof=1)
    variance_v = v.var(-1, ddof=1)
    variances = variance_u + variance_v
    c1 = (.01*2)**2
    c2 = (.03*2)**2
    product = mean_u*mean_v
    squares = mean_u**2 + mean_v**2
    luminance = (2*product + c1)/(squares + c1)
    structure = (2*covariance + c2)/(variances + c2)
    similarity = luminance*structure
    return similarity.mean()


CELL = 16  # pixels


def gradients(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length and angle (degrees in [0, 180)) of the gradient at each pixel."""
    gy = np.zeros_like(m)
    gx = np.zeros_like(m)
    gy[1:-1] = m[2:] - m[:-2]
    right = m[:, 2:]
    left = m[:, :-2]
    gx[:, 1:-1] = right - left
    angle = np.rad2deg(np.arctan2(gy, gx))
    return np.hypot(gx, gy), angle % 180


def cell_histogram(length: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Mean length of the gradients of a cell in each of 9 orientations."""
    histogram = np.zeros(9)
    for o in range(9):
        start = 20*o
        end = start + 20
        is_inside = (angle >= start) & (angle < end)
        lengths = length[is_inside]
        histogram[o] = lengths.sum()/CELL**2
    return histogram


def to_unit_length(v: np.ndarray) -> np.ndarray:
    """A vector divided by its length, or nearly."""
    square = (v**2).sum()
    return v/np.sqrt(square + 1e-10)


def normalised_block(cells: np.ndarray) -> np.ndarray:
    """The histograms of a block of cells as one vector, by L2-Hys."""
    unit = to_unit_length(cells.ravel())
    return to_unit_length(np.minimum(unit, .2))


def second_hog(m: np.ndarray) -> np.ndarray:
    """Cells of 16, 9 orientations, blocks of 3×3 cells (Dalal and Triggs 2005), by loops."""
    length, angle = gradients(rescaled(m))
    height, width = m.shape
    n_rows = height//CELL
    n_columns = width//CELL
    cells = np.zeros((n_rows, n_columns, 9))
    for i in range(n_rows):
        for j in range(n_columns):
            rows = slice(CELL*i, CELL*(i + 1))
            columns = slice(CELL*j, CELL*(j + 1))
            lengths = length[rows, columns]
            angles = angle[rows, columns]
            cells[i, j] = cell_histogram(lengths, angles)
    blocks = []
    for i in range(n_rows - 2):
        for j in range(n_columns - 2):
            block = cells[i:i + 3, j:j + 3]
            blocks.append(normalised_block(block))
    return np.concatenate(blocks)


@settings(max_examples=15, deadline=None)
@given(pairs_of_maps)
def test_ssim_is_a_second_implementation_s(pair):
    a, b = pair
    second = second_ssim(a, b)
    assert ssim(a, b) == approx(second, abs=1e-6)
    half_a = rescaled(a)/2
    half_b = rescaled(b)/2
    in_half_the_range = ssim(half_a, half_b, rescale=False, data_range=1)
    assert in_half_the_range == approx(second, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(pairs_of_maps)
def test_correlations_of_maps_are_second_implementations_s(pair):
    a, b = pair
    of_histograms = correlation(second_hog(a), second_hog(b))
    assert hog_correlation(a, b) == approx(of_histograms, abs=1e-6)
    of_ranks = rank_correlation(a.ravel(), b.ravel())  # these maps have no ties
    assert spearman(a, b) == approx(of_ranks, abs=1e-6)


@pytest.mark.parametrize("name", MAPS)
@settings(max_examples=15, deadline=None)
@given(pair=pairs_of_maps, scale=st.floats(.1, 50))
def test_map_metrics_are_symmetric_and_blind_to_scale(name, pair, scale):
    a, b = pair
    metric = MAPS[name]
    value = metric(a, b)
    swapped = metric(b, a)
    assert value == approx(swapped, abs=1e-9)
    scaled = metric(scale*a, b)
    assert value == approx(scaled, abs=1e-6)
    assert metric(a, a) == approx(1)
    tensor = torch.as_tensor(a)
    assert metric(tensor, b) == value
    three = np.stack([a, b, a])
    mean = (1 + 2*value)/3
    assert pairwise(three, name) == approx(mean)


ONES = np.ones((9, 9))
NO_NUMBERS = np.full((9, 9), np.nan)


@pytest.mark.parametrize("call, message", [
    (lambda: ssim(ONES, ONES[:, :8]), "b has shape (9, 8); allowed: a's, (9, 9)"),
    (lambda: ssim(ONES[0], ONES[0]), "a has shape (9,); allowed: a map (H, W)"),
    (lambda: ssim(ONES[:4], ONES[:4]), "allowed: at least 5 pixels a side"),
    (lambda: hog_correlation(np.eye(47), np.eye(47)), "allowed: at least 48 pixels a side"),
    (lambda: hog_correlation(np.ones((48, 48)), np.eye(48)), "a is constant (1)"),
    (lambda: spearman(np.eye(9), 0*ONES), "b is constant (0.0)"),
    (lambda: spearman(np.eye(9), NO_NUMBERS), "b holds 81 values that are NaN or infinite"),
    (lambda: ssim(ONES, ONES, data_range=0), "data_range is 0; allowed: a finite number above 0"),
    (lambda: pairwise(ONES[None], "ssim"),
     "maps has shape (1, 9, 9); allowed: (k, H, W) with k >= 2"),
    (lambda: pairwise(np.ones((2, 9, 9)), "mse"),
     "metric is 'mse'; allowed: ssim, hog, spearman"),
])
def test_bad_maps(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
