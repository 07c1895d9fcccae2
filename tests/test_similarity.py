"Jaccard against brute force over every tie-break."
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import pearsonr

from xai_repro import similarity as S


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
