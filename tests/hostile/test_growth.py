"""Time and memory: what grows is bounded, and an absurd wish is refused before it is begun.

Memory is measured; time is not, but in what it is made of: queries, and calls.
"""
import tracemalloc
import warnings

import numpy as np
import pytest
import torch

from xai_repro.evaluate import certificates, faithfulness, localisation
from xai_repro.explain import distributions, lfa, perturbation, subsets, surrogates
from xai_repro.inputs import removal, segmentation
from xai_repro.value import MaskFunction
from xai_repro.workbook import claims

MB = 2**20
ALPHA = np.arange(20) < 5


@pytest.fixture(autouse=True)
def _quiet():
    """Warnings are looked at by other tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def peak_of(call):
    """The result of a call, and the most memory of Python and numpy it had, in MB."""
    tracemalloc.start()
    try:
        result = call()
        _, peak = tracemalloc.get_traced_memory()
        return result, peak/MB
    finally:
        tracemalloc.stop()


def added(d):
    w = np.linspace(-1, 1, d)
    return MaskFunction(lambda masks: masks @ w, d, batch_size=1024)


def probabilities(d):
    w = np.linspace(-1, 1, d)

    def f(masks):
        odds = np.exp(masks @ w)
        p = odds/(1 + odds)
        return np.stack([p, 1 - p], 1)

    return MaskFunction(f, d, batch_size=1024)


def embeddings(d):
    def f(masks): return masks[:, :32] + 1.

    return MaskFunction(f, d, batch_size=4096)


# memory: what, of a call, and the most of it in MB

def count_peak(tally, call, most):
    """Count whether a call takes less memory than `most` MB."""
    _, peak = peak_of(call)
    tally.right_if(peak < most, f"{peak:.0f} MB of {most}")


def many_features(): return lfa.lime(added(5000), 0, 300, 50.)


def many_samples(): return lfa.lime(added(50), 0, 20_000, 10.)


def many_pairs(): return perturbation.hsic(added(20), 0, 6000)


def many_designs(): return perturbation.sobol(added(600), 0, 8)


def many_values(): return claims.intervals(np.linspace(0, 1, 20_000), n_resamples=2000)


def many_sets(): return subsets.lima(probabilities(150), 0, embeddings(150))


def many_draws(): return certificates.soft_stability(probabilities(20), ALPHA, 3, .01)


@pytest.mark.parametrize("call, most", [
    (many_features, 120), (many_samples, 60), (many_pairs, 400), (many_designs, 200),
    (many_values, 400), (many_sets, 150), (many_draws, 60)])
def test_memory_is_bounded(tally, call, most):
    count_peak(tally, call, most)


def test_the_number_of_pixels_of_many_threads_is_bounded(tally):
    """Batches that nobody holds any more are written over; others are not kept."""
    memory = removal._Memory()
    shape = (64, 3, 32, 32)
    held = [memory(shape) for _ in range(50)]
    given = [images for images in held if images is not None]
    tally.right_if(len(given) == memory.n_buffers, f"{len(given)} buffers")
    first = held[0].data_ptr()
    del held, given
    again = memory(shape)
    tally.right_if(again.data_ptr() == first, "memory is not used again")


# what is computed is the same as before it was fast

def test_exact_sizes_are_the_first_that_suffice(tally):
    for eps, delta in ((.1, .1), (.05, .05), (.03, .2), (.2, .01)):
        size = certificates.exact_size(eps, delta)
        start = max(1, size - 40)
        smaller = [certificates.exact_error(n, eps) for n in range(start, size)]
        suffices = certificates.exact_error(size, eps) <= delta
        is_first = min(smaller, default=1) > delta
        tally.right_if(suffices and is_first, f"{size} for eps={eps}, delta={delta}")


@pytest.mark.parametrize("eps", [.01, .005])
def test_a_narrow_certificate_asks_for_few_sizes(tally, eps, monkeypatch):
    """The search looks at few rates of most sizes; all rates only of what is near."""
    asked = []
    whole = certificates._exact_error

    def counted(n, eps):
        asked.append(n)
        return whole(n, eps)

    monkeypatch.setattr(certificates, "_exact_error", counted)
    certificates._exact_size.cache_clear()
    size = certificates.exact_size(eps, .1)
    n_asked = len(asked)
    tally.right_if(n_asked <= 3, f"{n_asked} sizes for {size}")


def sure(masks):
    first = masks[:, 0] + 1.
    return np.stack([first, np.zeros_like(first)], 1)


def half(masks):
    n_others = masks[:, 1:].sum(1)
    odd = n_others % 2.
    return np.stack([1. - odd, odd], 1)


@pytest.mark.parametrize("f", [sure, half])
def test_a_quick_look_stops_where_the_interval_does(tally, f):
    """The interval itself is computed at few looks, and the first narrow one is found."""
    value = MaskFunction(f, 12)
    alpha = np.arange(12) < 2
    for eps, delta in ((.1, .1), (.05, .2), (.3, .3), (.5, .1)):
        found = certificates.soft_stability(value, alpha, 6, eps, delta, 1, "anytime", 8)
        cap, _ = certificates.sequential_plan(eps, delta)
        masks = certificates.sample_additive(alpha, 6, cap, 1)
        same = value.labels(masks) == found.prediction
        time = certificates.stopping_time(same, eps, delta, 8)
        tally.right_if(found.n_samples == time, f"{found.n_samples}, {time}")


def test_searches_score_a_feature_by_its_row(tally):
    """Distances within sets that share all but one feature, against all of them at once."""
    generator = np.random.default_rng(0)
    points = generator.normal(size=(9, 4))
    differences = points[:, None] - points
    distances = np.linalg.norm(differences, axis=2)
    np.fill_diagonal(distances, np.inf)
    for chosen in ([], [3], [0, 5, 7]):
        rest = [i for i in range(9) if i not in chosen]
        masks = subsets.with_each(chosen, rest, 9)
        found = subsets._nearest_of_set(distances, masks)
        within = np.where(masks[:, None], distances, np.inf)
        same = np.array_equal(found, within.min(2))
        tally.right_if(same, f"of {chosen}")


def test_the_median_of_many_pairs(tally):
    generator = np.random.default_rng(0)
    for n in (4500, 5001):
        y = generator.normal(size=n)
        found = perturbation._median_difference(y)
        differences = np.abs(y[:, None] - y)
        median = np.median(differences[np.triu_indices(n, 1)])
        tally.right_if(abs(found - median) < 1e-6, f"n={n}: {found}, not {median}")


def test_blocks_of_a_kernel(tally, monkeypatch):
    whole = perturbation.hsic(added(12), 0, 300)
    monkeypatch.setattr(perturbation, "_AT_ONCE", 7000)
    found = perturbation.hsic(added(12), 0, 300)
    tally.right_if(np.allclose(found, whole, rtol=1e-4), "hsic in blocks")
    designs = perturbation.sobol(added(12), 0)
    monkeypatch.setattr(perturbation, "_AT_ONCE", 10)
    found = perturbation.sobol(added(12), 0)
    tally.right_if(np.array_equal(found, designs), "sobol in blocks")


def test_blocks_of_resamples(tally, monkeypatch):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(30, 4))
    want = claims.intervals(values)
    monkeypatch.setattr(claims, "_COUNTS", 1000)
    found = claims.intervals(values)
    same = np.allclose(found, want, rtol=1e-12)
    tally.right_if(same, "intervals in blocks")


# absurd wishes are refused at once

ROWS = np.ones((2, 3))


def of_rows(rows): return rows.sum(1)


@pytest.mark.parametrize("call", [
    lambda n: lfa.lime(added(20), 0, n),
    lambda n: lfa.glime(added(20), 0, n),
    lambda n: perturbation.kernel_shap(added(20), 0, n),
    lambda n: perturbation.rise(added(20), 0, n),
    lambda n: perturbation.hsic(added(20), 0, n),
    lambda n: perturbation.sobol(added(20), 0, n),
    lambda n: lfa.approximate(of_rows, np.ones(20), distributions.normal(), n_samples=n),
    lambda n: lfa.attribute("integrated_gradients", of_rows, np.ones((1, 20)), n),
    lambda n: faithfulness.mu_fidelity(added(20), np.arange(20.), 0, n),
    lambda n: faithfulness.local_fidelity(of_rows, of_rows, np.ones(20), n=n),
    lambda n: faithfulness.perturbation_test(of_rows, ROWS, ROWS, noise="gauss", n_draws=n),
    lambda n: certificates.sample_additive(ALPHA, 3, n),
    lambda n: certificates.stability_curve(probabilities(20), ALPHA, [3], n_samples=n),
    lambda n: certificates.hard_stability(probabilities(20), ALPHA, quant=n),
    lambda n: certificates.smoothed(probabilities(20), .5, n),
    lambda n: certificates.exact_error(n, .1),
    lambda n: distributions.ball(n, 3),
    lambda n: distributions.binomial().sample(n, 20, 0),
    lambda n: subsets.diminishing_returns(of_rows, 5, n),
    lambda n: claims.intervals(np.arange(5.), n_resamples=n),
    lambda n: localisation.centred(n),
    lambda n: localisation.cut_out(torch.rand(3, 8, 8), [0, 0, 4, 4], n),
    lambda n: segmentation.seeds(torch.rand(3, 64, 64), n),
    lambda n: segmentation.slic(torch.rand(3, 64, 64), n),
    lambda n: segmentation.quickshift(torch.rand(3, 64, 64), n),
])
def test_absurd_numbers_are_refused(tally, call):
    for n in (10**10, 10**12, 2**62, 10**30):
        tally.refusal(lambda n=n: call(n), "allowed", what=n)


@pytest.mark.parametrize("call", [
    lambda eps: certificates.soft_stability(probabilities(20), ALPHA, 3, eps),
    lambda eps: certificates.soft_stability(probabilities(20), ALPHA, 3, eps, interval="anytime"),
    lambda eps: certificates.soft_stability(
        probabilities(20), ALPHA, 3, eps, interval="clopper_pearson"),
    lambda eps: certificates.stability_curve(probabilities(20), ALPHA, [3], eps),
    lambda eps: certificates.exact_size(eps),
    lambda eps: certificates.sequential_plan(eps, .1),
])
def test_absurd_precision_is_refused(tally, call):
    for eps in (1e-5, 1e-9, 1e-200, 1e-300):
        tally.refusal(lambda eps=eps: call(eps), "allowed", what=eps)


# what takes longer

@pytest.mark.long
@pytest.mark.parametrize("call, most", [
    (lambda: lfa.lime(added(10_000), 0, 2000, 100.).r2, 900),
    (lambda: perturbation.hsic(added(50), 0, 16_000), 700),
    (lambda: subsets.lima(probabilities(800), 0, embeddings(800)).order, 700),
    (lambda: claims.intervals(np.linspace(0, 1, 80_000)), 700),
    (lambda: surrogates.ridge(np.eye(4000, 2000), np.arange(4000.)), 400),
    (lambda: certificates.soft_stability(
        probabilities(20), ALPHA, 3, .002, interval="clopper_pearson").rate, 400),
])
def test_memory_of_large_problems_is_bounded(tally, call, most):
    count_peak(tally, call, most)
