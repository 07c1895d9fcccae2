"Jaccard against brute force over every tie-break."
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import pearsonr

from xai_repro.evaluate import similarity as S
from xai_repro.evaluate.similarity import MAPS, hog_correlation, pairwise, spearman, ssim


def top_sets(w, k):
    "Every top-k set that some order of the ties gives."
    cut = np.sort(w)[-k]
    sure, tied = set(np.flatnonzero(w > cut)), np.flatnonzero(w == cut)
    return [sure | set(t) for t in combinations(tied, k - len(sure))]


def brute(a, b, k):
    sets_a, sets_b = top_sets(a, k), top_sets(b, k)
    return np.mean([len(x & y)/len(x | y) for x in sets_a for y in sets_b])


weights = st.lists(st.integers(-2, 2), min_size=7, max_size=7).map(lambda v: np.array(v, float))


@settings(max_examples=150, deadline=None)
@given(a=weights, b=weights, k=st.integers(1, 7), by=st.sampled_from(["signed", "absolute"]))
def test_expected_over_tie_breaks(a, b, k, by):
    f = {"signed": lambda w: w, "absolute": np.abs}[by]
    assert S.jaccard(a, b, k, by) == pytest.approx(brute(f(a), f(b), k), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=weights, b=weights, by=st.sampled_from(["signed", "absolute"]), ties=st.sampled_from(["expected", "index"]))
def test_curve_is_every_k(a, b, by, ties):
    assert np.allclose(S.jaccard_curve(a, b, by, ties), [S.jaccard(a, b, k, by, ties) for k in range(1, 8)], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=weights, b=weights, k=st.integers(1, 7))
def test_symmetric_bounded_and_blind_to_scale(a, b, k):
    j = S.jaccard(a, b, k)
    assert -1e-12 <= j <= 1 + 1e-12 and j == pytest.approx(S.jaccard(b, a, k)) and j == pytest.approx(S.jaccard(3*a, b + 1, k))


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 8), data=st.data())
def test_chance_level_by_enumeration(d, data):
    k = data.draw(st.integers(1, d))
    one = set(range(k))
    exact = sum(len(one & set(s))/len(one | set(s)) for s in combinations(range(d), k))/comb(d, k)
    assert S.jaccard_by_chance(d, k) == pytest.approx(exact, abs=1e-12)


def test_equal_zeros_do_not_look_like_agreement():
    zeros = np.zeros(40)
    assert S.jaccard(zeros, zeros, 20) == pytest.approx(S.jaccard_by_chance(40, 20)) and S.jaccard(zeros, zeros, 20, ties="index") == 1


def test_random_rankings_reach_the_chance_level():
    rng = np.random.default_rng(0)
    curves = [S.jaccard_curve(*rng.normal(size=(2, 40))) for _ in range(2000)]
    assert np.allclose(np.mean(curves, 0), S.chance_curve(40), atol=5*np.std(curves, 0)/np.sqrt(2000) + 1e-9)


def test_index_ties_are_argsorts():
    a, b = np.array([0, 1, 0, 0, 2.]), np.array([0, 0, 0, 1, 1.])
    for k in range(1, 6):
        top = [set(w.argsort(kind="stable")[-k:]) for w in (a, b)]
        assert S.jaccard(a, b, k, ties="index") == pytest.approx(len(top[0] & top[1])/len(top[0] | top[1]))


def test_pairs_and_correlations():
    rng = np.random.default_rng(1)
    W = rng.normal(size=(4, 9))
    assert S.over_pairs(W, S.mse) == pytest.approx(np.mean([((W[i] - W[j])**2).mean() for i in range(4) for j in range(i)]))
    assert S.pearson(W[0], W[1]) == pytest.approx(pearsonr(W[0], W[1]).statistic)
    ranks = [w.argsort().argsort() for w in W]
    assert S.spearman(W[0], W[1]) == pytest.approx(np.corrcoef(ranks[0], ranks[1])[0, 1])
    assert S.mae(W[0], W[0]) == 0


# maps of pixels

MAP = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(2, 50, 53)).cumsum(1).cumsum(2))


def _ssim(a, b):
    "Window 5, range 2, sample covariances, the mean without a border of 2 (Wang et al. 2004)."
    x, y = (m/np.abs(m).max() for m in (a, b))
    windows = lambda v: np.lib.stride_tricks.sliding_window_view(v, (5, 5)).reshape(v.shape[0] - 4, v.shape[1] - 4, 25)
    u, v = windows(x), windows(y)
    mu, mv = u.mean(-1), v.mean(-1)
    cov = ((u - mu[..., None])*(v - mv[..., None])).sum(-1)/24
    c1, c2 = (.01*2)**2, (.03*2)**2
    return (((2*mu*mv + c1)*(2*cov + c2))/((mu**2 + mv**2 + c1)*(u.var(-1, ddof=1) + v.var(-1, ddof=1) + c2))).mean()


def _hog(m):
    "Cells of 16, 9 orientations over 180°, blocks of 3×3 cells with L2-Hys (Dalal and Triggs 2005), by loops."
    m = m/np.abs(m).max()
    gy, gx = np.zeros_like(m), np.zeros_like(m)
    gy[1:-1], gx[:, 1:-1] = m[2:] - m[:-2], m[:, 2:] - m[:, :-2]
    size, angle = np.hypot(gx, gy), np.rad2deg(np.arctan2(gy, gx)) % 180
    rows, columns = m.shape[0]//16, m.shape[1]//16
    cells = np.zeros((rows, columns, 9))
    for i in range(rows):
        for j in range(columns):
            s, a = size[16*i:16*i + 16, 16*j:16*j + 16], angle[16*i:16*i + 16, 16*j:16*j + 16]
            for o in range(9): cells[i, j, o] = s[(a >= 20*o) & (a < 20*(o + 1))].sum()/256
    def block(v):
        v = v.ravel(); v = v/np.sqrt((v**2).sum() + 1e-10); v = np.minimum(v, .2)
        return v/np.sqrt((v**2).sum() + 1e-10)
    return np.concatenate([block(cells[i:i + 3, j:j + 3]) for i in range(rows - 2) for j in range(columns - 2)])


@settings(max_examples=15, deadline=None)
@given(MAP)
def test_map_metrics_are_independent_computations(pair):
    a, b = pair
    assert ssim(a, b) == pytest.approx(_ssim(a, b), abs=1e-6)
    assert ssim(*(m/np.abs(m).max()/2 for m in pair), rescale=False, data_range=1) == pytest.approx(_ssim(a, b), abs=1e-6)      # half the maps in half the range
    assert hog_correlation(a, b) == pytest.approx(np.corrcoef(_hog(a), _hog(b))[0, 1], abs=1e-6)
    ranks = [np.argsort(np.argsort(m.ravel())).astype(float) for m in pair]           # no ties in these
    assert spearman(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(MAP, st.floats(.1, 50))
def test_map_metrics_are_symmetric_and_blind_to_scale(pair, scale):
    a, b = pair
    for name, metric in MAPS.items():
        assert metric(a, b) == pytest.approx(metric(b, a), abs=1e-9) and metric(a, b) == pytest.approx(metric(scale*a, b), abs=1e-6)
        assert metric(a, a) == pytest.approx(1) and metric(torch.as_tensor(a), b) == metric(a, b)
        assert pairwise(np.stack([a, b, a]), name) == pytest.approx((1 + 2*metric(a, b))/3)


@pytest.mark.parametrize("make, said", [
    (lambda: ssim(np.ones((9, 9)), np.ones((9, 8))), "b has shape (9, 8); allowed: a's, (9, 9)"),
    (lambda: ssim(np.ones(9), np.ones(9)), "a has shape (9,); allowed: a map (H, W)"),
    (lambda: ssim(np.ones((4, 9)), np.ones((4, 9))), "allowed: at least 5 pixels a side"),
    (lambda: hog_correlation(np.eye(47), np.eye(47)), "allowed: at least 48 pixels a side"),
    (lambda: hog_correlation(np.ones((48, 48)), np.eye(48)), "a is constant (1)"),
    (lambda: spearman(np.eye(9), np.zeros((9, 9))), "b is constant (0.0)"),
    (lambda: spearman(np.eye(9), np.full((9, 9), np.nan)), "b holds 81 values that are NaN or infinite"),
    (lambda: ssim(np.ones((9, 9)), np.ones((9, 9)), data_range=0), "data_range is 0; allowed: a finite number above 0"),
    (lambda: pairwise(np.ones((1, 9, 9)), "ssim"), "maps has shape (1, 9, 9); allowed: (k, H, W) with k >= 2"),
    (lambda: pairwise(np.ones((2, 9, 9)), "mse"), "metric is 'mse'; allowed: ssim, hog, spearman")])
def test_bad_maps(make, said):
    with pytest.raises(ValueError) as error: make()
    assert said in str(error.value)
