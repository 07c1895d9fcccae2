"Functions of bits: identities on random tables, and the paper's statements with the counterexamples to four of them."
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xai_repro.evaluate import boolean as B
from xai_repro.evaluate.certificates import exact_stability
from xai_repro.value import MaskFunction
from xai_repro.explain.distributions import all_masks


def table(n, seed): return np.random.default_rng(seed).normal(size=2**n)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 10), seed=st.integers(0, 10**6), p=st.floats(.02, .98))
def test_expansions_come_back_and_are_what_they_say(n, seed, p):
    h, masks = table(n, seed), all_masks(n)
    assert np.allclose(B.from_fourier(B.fourier(h)), h, atol=1e-10) and np.allclose(B.from_monotone(B.monotone(h)), h, atol=1e-10)
    assert np.allclose(B.from_biased(B.biased(h, p), p), h, atol=1e-8) and np.allclose(B.biased(h, .5), B.fourier(h), atol=1e-12)
    S = np.random.default_rng(seed).random(n) < .5
    index = int(S @ (1 << np.arange(n)))
    chi = (-1.)**(masks & S).sum(1)
    assert B.fourier(h)[index] == pytest.approx((h*chi).mean(), abs=1e-10)
    inside = ~(masks & ~S).any(1)
    assert B.monotone(h)[index] == pytest.approx((h[inside]*(-1.)**(S.sum() - masks[inside].sum(1))).sum(), abs=1e-8), "inclusion and exclusion"


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 10**6), lam=st.floats(.01, 1))
def test_operators_are_their_definitions(n, seed, lam):
    h, index, k = table(n, seed), np.arange(2**n), all_masks(n).sum(1)
    keep, flip = lam**k*(1 - lam)**(n - k), ((1 - lam)/2)**k*((1 + lam)/2)**(n - k)
    assert np.allclose(B.random_mask(h, lam), h[index[:, None] & index] @ keep, atol=1e-10)
    assert np.allclose(B.random_flip(h, lam), h[index[:, None] ^ index] @ flip, atol=1e-10)
    assert np.allclose(B.fourier(B.random_flip(h, lam)), lam**k*B.fourier(h), atol=1e-10), "footnote 4"
    assert np.allclose(B.random_mask(B.random_mask(h, lam), .5), B.random_mask(h, lam/2), atol=1e-10), "keeping twice"


def test_sixteen_bits_are_fast_and_right():
    h = table(16, 0)
    assert np.allclose(B.from_fourier(B.fourier(h)), h, atol=1e-9) and (B.fourier(h)**2).sum() == pytest.approx((h**2).mean()), "Parseval"
    assert B.mass(B.fourier(h), 2).sum() == pytest.approx((h**2).mean())


@pytest.mark.parametrize("statement", B.STATEMENTS, ids=lambda s: f"{s.place}: {s.says[:40]}")
def test_statements(statement):
    over_all_sets = statement.place in ("Lemma A.7", "Theorem 4.3, Lemma A.2") or "basis is orthonormal" in statement.says       # 2^n functions at once
    problems = [B.random_problem(n, seed) for n in (1, 2, 3, 5, 6) for seed in range(12)] + [B.random_problem(8 if over_all_sets else 10, 0), B.COUNTEREXAMPLE]
    worst = max(statement.violation(q) for q in problems)
    false_as_printed = statement.place in ("Lemma B.4", "Lemma B.5", "Lemma B.6", "Corollary B.8")
    assert (worst > .1) if false_as_printed else (worst <= 1e-10)


@pytest.mark.parametrize("place", ["Lemma B.4", "Lemma B.5", "Lemma B.6", "Corollary B.8"])
def test_the_printed_lemmas_hold_where_nothing_is_selected(place):
    "With alpha empty no set mixes selected features with added ones."
    statement, = [s for s in B.STATEMENTS if s.place == place]
    for seed in range(30):
        q = B.random_problem(5, seed)
        empty = B.Problem(q.h, q.lam, q.p, np.zeros(5, bool), min(q.radius, 5))
        assert statement.violation(empty) <= 1e-10


def test_the_counterexample_by_hand():
    "AND of two features, the first selected: alone h = 0, with the second h = 1."
    conjunction, alpha = np.array([0., 0, 0, 1]), np.array([True, False])
    assert B.stability_rate(conjunction, alpha, 1) == .5
    assert B.soft_bound(conjunction, alpha, 1, printed=True) == 0 and B.soft_bound(conjunction, alpha, 1) == 1
    assert B.hard_radius(conjunction, alpha, printed=True) == 1 and B.hard_radius(conjunction, alpha) == 0


def test_the_printed_signs_of_the_conjunction():
    assert np.allclose(B.fourier([0., 0, 0, 1]), np.array([1, -1, -1, 1])/4)
    assert np.allclose(B.from_fourier(np.full(4, .25)), [1, 0, 0, 0]), "four times +1/4 is NOR"
    lam = .6                                                              # and so is the smoothed spectrum of A.2
    assert np.allclose(B.fourier(B.random_mask([1., 0, 0, 0], lam)), np.array([(2 - lam)**2, lam*(2 - lam), lam*(2 - lam), lam**2])/4)
    assert np.allclose(B.fourier(B.random_mask([0., 0, 0, 1], lam)), lam**2*np.array([1, -1, -1, 1])/4)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_stability_of_a_table_is_that_of_its_value_function(n, seed):
    "For h in {0, 1} Definition B.3 and the argmax of (1 - h, h) agree."
    h = (np.random.default_rng(seed).random(2**n) < .6).astype(float)
    alpha = np.random.default_rng(seed + 1).random(n) < .5
    value = MaskFunction(lambda m: np.stack([1 - h, h], 1)[m @ (1 << np.arange(n))], n, batch_size=1000)
    for radius in range(int((~alpha).sum()) + 1): assert B.stability_rate(h, alpha, radius) == pytest.approx(exact_stability(value, alpha, radius))


def test_inclusion_is_the_share_of_masks():
    for m, r in ((5, 2), (6, 6), (4, 0)):
        masks = all_masks(m)[all_masks(m).sum(1) <= r]
        assert np.allclose(B.inclusion(m, r), [masks[:, :k].all(1).mean() for k in range(m + 1)])


@pytest.mark.parametrize("call, error, words", [
    (lambda: B.fourier(np.ones(6)), ValueError, ["h has 6 values", "2**n"]), (lambda: B.fourier(np.ones(2**17)), ValueError, ["131072", "16 features"]), (lambda: B.fourier([1.]), ValueError, ["1 values"]),
    (lambda: B.monotone([1, np.nan]), ValueError, ["h", "NaN"]), (lambda: B.random_mask(np.ones(4), 0.), ValueError, ["lam is 0.0"]), (lambda: B.random_flip(np.ones(4), 1.1), ValueError, ["lam is 1.1"]),
    (lambda: B.biased(np.ones(4), 1.), ValueError, ["p is 1.0"]), (lambda: B.stability_rate(np.ones(4), np.array([True, False]), 2), ValueError, ["radius is 2"]),
    (lambda: B.restricted(np.ones(4), np.array([True])), ValueError, ["alpha has shape (1,)"])])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught: call()
    for word in words: assert word in str(caught.value)
