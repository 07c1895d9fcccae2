"""Functions of bits: identities on random tables, and the paper's statements.

Four of them are false as printed, and have counterexamples.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import allclose
from pytest import approx
from value_tables import numbers_of, table_value

from xai_repro.evaluate import boolean as B
from xai_repro.evaluate.certificates import exact_stability
from xai_repro.explain.distributions import all_masks

CONJUNCTION = np.array([0., 0, 0, 1])
NOR = np.array([1., 0, 0, 0])
SIGNS = np.array([1, -1, -1, 1])
FIRST = np.array([True, False])  # the attribution that selects the first of two features
FALSE_AS_PRINTED = ("Lemma B.4", "Lemma B.5", "Lemma B.6", "Corollary B.8")


def random_table(n: int, seed: int) -> np.ndarray:
    """A table of normal numbers, [2**n]."""
    return np.random.default_rng(seed).normal(size=2**n)


def n_present(n: int) -> np.ndarray:
    """Number of bits set in each of the 2**n masks."""
    return all_masks(n).sum(1)


def bernoulli(n: int, p: float) -> np.ndarray:
    """Probability of each of the 2**n masks when bits are 1 with probability p."""
    k = n_present(n)
    of_absent = (1 - p)**(n - k)
    return p**k*of_absent


bits = st.integers(1, 8)
seeds = st.integers(0, 10**6)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 10), seed=seeds, p=st.floats(.02, .98))
def test_expansions_are_inverted(n, seed, p):
    h = random_table(n, seed)
    coefficients = B.fourier(h)
    assert allclose(B.from_fourier(coefficients), h, atol=1e-10)
    assert allclose(B.biased(h, .5), coefficients, atol=1e-12)
    coefficients = B.monotone(h)
    assert allclose(B.from_monotone(coefficients), h, atol=1e-10)
    coefficients = B.biased(h, p)
    assert allclose(B.from_biased(coefficients, p), h, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 10), seed=seeds)
def test_coefficients_are_their_definitions(n, seed):
    h = random_table(n, seed)
    masks = all_masks(n)
    uniform = np.random.default_rng(seed).random(n)
    S = uniform < .5
    s = numbers_of(S)
    n_common = (masks & S).sum(1)
    chi = (-1.)**n_common
    mean = (h*chi).mean()
    assert B.fourier(h)[s] == approx(mean, abs=1e-10)
    subsets = ~(masks & ~S).any(1)
    n_missing = S.sum() - masks[subsets].sum(1)
    signs = (-1.)**n_missing
    inclusion_exclusion = (h[subsets]*signs).sum()
    assert B.monotone(h)[s] == approx(inclusion_exclusion, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(n=bits, seed=seeds, lam=st.floats(.01, 1))
def test_operators_are_their_definitions(n, seed, lam):
    h = random_table(n, seed)
    index = np.arange(2**n)
    column = index[:, None]
    masked = B.random_mask(h, lam)
    by_sum = h[column & index] @ bernoulli(n, lam)
    assert allclose(masked, by_sum, atol=1e-10)
    flipped = B.random_flip(h, lam)
    by_sum = h[column ^ index] @ bernoulli(n, (1 - lam)/2)
    assert allclose(flipped, by_sum, atol=1e-10)
    contracted = lam**n_present(n)*B.fourier(h)
    assert allclose(B.fourier(flipped), contracted, atol=1e-10), "footnote 4"
    twice = B.random_mask(masked, .5)
    at_once = B.random_mask(h, lam/2)
    assert allclose(twice, at_once, atol=1e-10), "keeping twice"


def test_sixteen_bits_are_fast_and_right():
    h = random_table(16, 0)
    coefficients = B.fourier(h)
    assert allclose(B.from_fourier(coefficients), h, atol=1e-9)
    mean_square = (h**2).mean()
    sum_of_squares = (coefficients**2).sum()
    assert sum_of_squares == approx(mean_square), "Parseval"
    squares_by_size = B.mass(coefficients, 2)
    assert squares_by_size.sum() == approx(mean_square)


def is_over_all_sets(statement: B.Statement) -> bool:
    """Whether a statement is about 2^n functions at once."""
    if statement.place in ("Lemma A.7", "Theorem 4.3, Lemma A.2"): return True
    return "basis is orthonormal" in statement.says


def name_of(statement: B.Statement) -> str:
    """What a test of a statement is called."""
    return f"{statement.place}: {statement.says[:40]}"


@pytest.mark.parametrize("statement", B.STATEMENTS, ids=name_of)
def test_statements(statement):
    problems = [B.random_problem(n, seed) for n in (1, 2, 3, 5, 6) for seed in range(12)]
    largest_n = 8 if is_over_all_sets(statement) else 10
    problems += [B.random_problem(largest_n, 0), B.COUNTEREXAMPLE]
    violations = [statement.violation(problem) for problem in problems]
    worst = max(violations)
    if statement.place in FALSE_AS_PRINTED:
        assert worst > .1
    else:
        assert worst <= 1e-10


@pytest.mark.parametrize("place", FALSE_AS_PRINTED)
def test_the_printed_lemmas_hold_where_nothing_is_selected(place):
    """With alpha empty no set mixes selected features with added ones."""
    [statement] = [s for s in B.STATEMENTS if s.place == place]
    nothing = np.zeros(5, bool)
    for seed in range(30):
        problem = B.random_problem(5, seed)
        unselected = replace(problem, alpha=nothing)
        assert statement.violation(unselected) <= 1e-10


def test_the_counterexample_by_hand():
    """AND of two features, the first selected: alone h = 0, with the second h = 1."""
    assert B.stability_rate(CONJUNCTION, FIRST, 1) == .5
    assert B.soft_bound(CONJUNCTION, FIRST, 1, printed=True) == 0
    assert B.soft_bound(CONJUNCTION, FIRST, 1) == 1
    assert B.hard_radius(CONJUNCTION, FIRST, printed=True) == 1
    assert B.hard_radius(CONJUNCTION, FIRST) == 0


def test_the_printed_signs_of_the_conjunction():
    """Four coefficients of +1/4, as printed, are those of NOR."""
    coefficients = B.fourier(CONJUNCTION)
    assert allclose(coefficients, SIGNS/4)
    printed = np.full(4, .25)
    assert allclose(B.from_fourier(printed), NOR)


def test_the_printed_smoothed_spectrum_is_that_of_nor():
    """Appendix A.2 prints the spectrum of NOR, not of the conjunction."""
    lam = .6
    of_one = lam*(2 - lam)
    printed = np.array([(2 - lam)**2, of_one, of_one, lam**2])
    smoothed = B.random_mask(NOR, lam)
    assert allclose(B.fourier(smoothed), printed/4)
    smoothed = B.random_mask(CONJUNCTION, lam)
    assert allclose(B.fourier(smoothed), lam**2*SIGNS/4)


@settings(max_examples=30, deadline=None)
@given(n=bits, seed=seeds)
def test_stability_of_a_table_is_that_of_its_value_function(n, seed):
    """For h in {0, 1} Definition B.3 and the argmax of (1 - h, h) agree."""
    uniform = np.random.default_rng(seed).random(2**n)
    h = (uniform < .6).astype(float)
    uniform = np.random.default_rng(seed + 1).random(n)
    alpha = uniform < .5
    value = table_value(np.stack([1 - h, h], 1))
    m = int((~alpha).sum())
    for radius in range(m + 1):
        exact = exact_stability(value, alpha, radius)
        rate = B.stability_rate(h, alpha, radius)
        assert rate == approx(exact)


@pytest.mark.parametrize("m, radius", [(5, 2), (6, 6), (4, 0)])
def test_inclusion_is_the_share_of_masks(m, radius):
    masks = all_masks(m)
    near = masks[masks.sum(1) <= radius]
    probabilities = B.inclusion(m, radius)
    for k in range(m + 1):
        has_first_k = near[:, :k].all(1)
        assert probabilities[k] == approx(has_first_k.mean(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("call, error, words", [
    (lambda: B.fourier(np.ones(6)), ValueError, ["h has 6 values", "2**n"]),
    (lambda: B.fourier(np.ones(2**17)), ValueError, ["131072", "16 features"]),
    (lambda: B.fourier([1.]), ValueError, ["1 values"]),
    (lambda: B.monotone([1, np.nan]), ValueError, ["h", "NaN"]),
    (lambda: B.random_mask(np.ones(4), 0.), ValueError, ["lam is 0.0"]),
    (lambda: B.random_flip(np.ones(4), 1.1), ValueError, ["lam is 1.1"]),
    (lambda: B.biased(np.ones(4), 1.), ValueError, ["p is 1.0"]),
    (lambda: B.stability_rate(np.ones(4), FIRST, 2), ValueError, ["radius is 2"]),
    (lambda: B.restricted(np.ones(4), FIRST[:1]), ValueError, ["alpha has shape (1,)"]),
])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message
