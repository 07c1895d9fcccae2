"LFA's eight methods as rows, against captum, exact Shapley values and what the theory says."
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from captum import attr
from hypothesis import given, settings, strategies as st

from xai_repro.explain import captum_methods as existing, lfa, distributions as N

P = 6
POINTS = torch.rand(5, P, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
W = torch.randn(P, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def bent(rows):
    "A smooth function in float64 whose features interact."
    return torch.tanh(rows @ W)*rows[:, 0] + rows[:, 1]**2*rows[:, 2].exp() - rows[:, 3]*rows[:, 4]


# equal to captum

def test_smoothgrad_is_captums_on_the_same_draws(monkeypatch):
    "captum draws its noise with torch.normal; it is given ours."
    n, sigma = 200, .1
    noise = torch.as_tensor(N.normal(sigma).sample(n, P, 0))
    given = iter(noise)
    monkeypatch.setattr(torch, "normal", lambda mean, std: next(given).expand(std.shape).clone())
    theirs = attr.NoiseTunnel(attr.Saliency(bent)).attribute(POINTS.clone().requires_grad_(), nt_type="smoothgrad", nt_samples=n, nt_samples_batch_size=1, stdevs=sigma, abs=False)
    assert next(given, None) is None, "every draw was used"
    assert np.allclose(lfa.attribute("smoothgrad", bent, POINTS, n, seed=0, sigma=sigma), theirs.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [5, 50])
def test_integrated_gradients_is_captums_at_the_same_nodes(n):
    theirs = attr.IntegratedGradients(bent).attribute(POINTS, n_steps=n, method="gausslegendre")
    assert np.allclose(lfa.attribute("integrated_gradients", bent, POINTS, n), theirs.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["occlusion", "vanilla_gradients", "gradient_x_input"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_draws_nothing_is_captums(method, dtype):
    X = POINTS.to(dtype)
    f = bent if dtype == torch.float64 else lambda rows: bent(rows.double()).to(rows.dtype)
    assert np.allclose(lfa.attribute(method, f, X), existing.captum_attribute(method, f, X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["lime", "kernel_shap"])
def test_what_draws_masks_is_captums_in_the_limit(method):
    "Mean absolute difference of two explanations by n masks each falls like n^-1/2."
    options = dict(kernel="captum") if method == "lime" else {}
    gap = {n: np.abs(lfa.attribute(method, bent, POINTS[:2], n, **options) - existing.captum_attribute(method, bent, POINTS[:2], n)).mean() for n in (200, 12_800)}
    assert gap[12_800] < .3*gap[200] and gap[12_800] < .02


def test_captum_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    for method in existing.EXISTING: existing.captum_attribute(method, bent, POINTS[:1], 20)
    assert torch.equal(before, torch.random.get_rng_state())


# Shapley values

def shapley_values(f, x: torch.Tensor) -> np.ndarray:
    "By the definition: the mean marginal contribution over all orders, by subsets."
    p, phi = len(x), np.zeros(len(x))
    def v(subset):
        kept = torch.zeros_like(x); kept[list(subset)] = x[list(subset)]
        return float(f(kept[None])[0])
    for i in range(p):
        rest = [j for j in range(p) if j != i]
        for k in range(p):
            share = factorial(k)*factorial(p - k - 1)/factorial(p)
            phi[i] += share*sum(v((*s, i)) - v(s) for s in combinations(rest, k))
    return phi


def wide(p):
    generator = torch.Generator().manual_seed(p)
    A, b = torch.randn(p, p, dtype=torch.float64, generator=generator), torch.randn(p, dtype=torch.float64, generator=generator)
    return torch.rand(1, p, dtype=torch.float64, generator=generator), lambda rows: torch.tanh(rows @ A).prod(1) + torch.sin(rows @ b) + ((rows @ A)*rows).sum(1)


@pytest.mark.parametrize("p", [2, 3, 6, 10])
def test_kernel_shap_over_all_coalitions_is_exact(p):
    x, f = wide(p)
    assert np.allclose(lfa.attribute("kernel_shap", f, x, sampling="exhaustive")[0], shapley_values(f, x[0]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("sampling", ["shapley", "bernoulli"])
def test_sampled_kernel_shap_is_efficient_and_converges(sampling):
    x, f = wide(6)
    exact = shapley_values(f, x[0])
    found = {n: np.stack([lfa.attribute("kernel_shap", f, x, n, seed=s, sampling=sampling)[0] for s in range(6)]) for n in (100, 6400)}
    assert np.allclose(found[100].sum(1), exact.sum(), rtol=0, atol=1e-9), "efficiency holds for every sample"
    error = {n: np.abs(v - exact).mean() for n, v in found.items()}
    assert error[6400] < .35*error[100] and error[6400] < .05*np.abs(exact).max()


# what the theory says

@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.integers(2, 9), intercept=st.floats(-3, 3))
def test_remark_1(seed, p, intercept):
    "On a linear model additive methods return w, the others w ⊙ x; with the modified loss all return w where x is not at the baseline."
    rng = np.random.default_rng(seed)
    w, X = torch.as_tensor(rng.normal(size=p)), rng.uniform(.2, 1, (3, p))*rng.choice([-1, 1], (3, p))
    f = lambda rows: rows @ w + intercept
    for name, row in lfa.METHODS.items():
        expected = np.tile(w.numpy(), (3, 1))*(1 if row.operator == "add" else X)
        assert np.allclose(lfa.attribute(name, f, X, 400, seed=seed), expected, atol=1e-7), name
        assert np.allclose(lfa.approximate(f, X, row.neighborhood(), row.loss, 400, seed, argument="input").weights, w.numpy(), atol=1e-7), name


@pytest.mark.parametrize("wider, option, values, narrow", [("smoothgrad", "sigma", (.2, .05, .01), "vanilla_gradients"), ("c_lime", "sigma", (.2, .05, .01), "vanilla_gradients"),
                                                           ("integrated_gradients", "a", (0., .8, .99), "gradient_x_input")])
def test_narrow_noise_is_the_limit(wider, option, values, narrow):
    limit = lfa.attribute(narrow, bent, POINTS)
    gaps = [np.abs(lfa.attribute(wider, bent, POINTS, 4000, **{option: v}) - limit).mean() for v in values]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < .05*np.abs(limit).mean()


def test_completeness_of_integrated_gradients_with_any_baseline():
    base = torch.linspace(-.5, .5, P, dtype=torch.float64)
    total = lfa.attribute("integrated_gradients", bent, POINTS, 64, baseline=base).sum(1)
    assert np.allclose(total, (bent(POINTS) - bent(base[None])).numpy(), atol=1e-10)


def test_drawn_integrated_gradients_converge_to_the_quadrature():
    exact = lfa.attribute("integrated_gradients", bent, POINTS, 64)
    assert np.abs(lfa.attribute("integrated_gradients", bent, POINTS, 40_000, quadrature=False) - exact).max() < .02


# points, precision and counting

def test_a_point_does_not_depend_on_the_others_or_on_chunks():
    for name, row in lfa.METHODS.items():
        together = lfa.attribute(name, bent, POINTS, 64, seed=3)
        alone = np.concatenate([lfa.attribute(name, bent, x[None], 64, seed=3) for x in POINTS])
        chunked = lfa.approximate(bent, POINTS, row.neighborhood(), row.loss, 64, 3, batch_rows=100).weights
        assert np.allclose(together, alone, atol=1e-12) and np.allclose(together, chunked, atol=1e-12), name


def test_one_point_has_no_axis():
    def by_rows(rows): return torch.tanh((rows*W).sum(1))*rows[:, 0] + rows[:, 1]**2      # a product of matrices may differ in its last bit with the number of rows
    many, one = (lfa.approximate(by_rows, x, N.normal(.1), n_samples=50) for x in (POINTS, POINTS[0]))
    assert many.weights.shape == (5, P) and one.weights.shape == (P,) and np.array_equal(many.weights[0], one.weights) and one.r2 == many.r2[0]
    assert many.n_queries == 5*50 and one.n_queries == 50


def test_networks_in_float32_explain_float64_points():
    net = torch.nn.Sequential(torch.nn.Linear(P, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    for f in (net, lambda rows: net(rows)):
        found = lfa.attribute("smoothgrad", f, POINTS.numpy(), 50)
        assert found.dtype == np.float64 and np.isfinite(found).all() and not any(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("method", ["smoothgrad", "lime", "occlusion"])
def test_adam_comes_near_the_closed_form(method):
    "As the released code fits: within a few percent of what it minimises."
    closed = lfa.attribute(method, bent, POINTS, 400)
    adam = lfa.attribute(method, bent, POINTS, 400, fit="adam")
    assert not np.array_equal(adam, closed) and np.abs(adam - closed).sum() < .1*np.abs(closed).sum()


# bad input

@pytest.mark.parametrize("call, error, words", [
    (lambda: lfa.attribute("gradcam", bent, POINTS), ValueError, ["method", "gradcam", "c_lime", "occlusion"]),
    (lambda: lfa.attribute("lime", bent, POINTS, sigma=1.), ValueError, ["option of lime", "sigma", "kernel_width"]),
    (lambda: lfa.attribute("smoothgrad", bent, POINTS, sigma=0), ValueError, ["sigma", "0"]),
    (lambda: lfa.attribute("smoothgrad", bent, POINTS, n_samples=0), ValueError, ["n_samples", "0"]),
    (lambda: lfa.attribute("integrated_gradients", bent, POINTS, a=1.), ValueError, ["a is 1.0", "below 1"]),
    (lambda: lfa.attribute("kernel_shap", bent, POINTS, sampling="uniform"), ValueError, ["sampling", "shapley, bernoulli, exhaustive"]),
    (lambda: lfa.attribute("kernel_shap", lambda r: r[:, 0], POINTS[:, :1]), ValueError, ["d", "1", "at least 2"]),
    (lambda: lfa.attribute("lime", bent, POINTS, fit="sgd"), ValueError, ["fit", "closed, adam"]),
    (lambda: lfa.attribute("lime", bent, POINTS, baseline=[0., 1.]), ValueError, ["baseline", "(2,)", "(6,)"]),
    (lambda: lfa.attribute("lime", bent, POINTS[0]), ValueError, ["X", "(6,)", "(n, p)"]),
    (lambda: lfa.attribute("lime", bent, torch.where(POINTS > .9, torch.nan, POINTS)), ValueError, ["X", "NaN", "row"]),
    (lambda: lfa.attribute("lime", lambda r: r, POINTS), ValueError, ["f returned shape", "one number a row"]),
    (lambda: lfa.attribute("lime", lambda r: r.sum(1)/0, POINTS), ValueError, ["f returned", "infinite"]),
    (lambda: lfa.attribute("smoothgrad", lambda r: r.detach().sum(1), POINTS), TypeError, ["no gradient", "loss='squared'"]),
    (lambda: lfa.attribute("vanilla_gradients", lambda r: torch.ones(len(r), requires_grad=True)*2, POINTS), TypeError, ["no gradient"]),
    (lambda: lfa.approximate(bent, POINTS, N.one_out(), loss="gradient"), ValueError, ["masks", "squared"]),
    (lambda: lfa.approximate(bent, POINTS, N.normal(.1), loss="hinge"), ValueError, ["loss", "squared, gradient"]),
    (lambda: existing.captum_attribute("c_lime", bent, POINTS), ValueError, ["method", "c_lime", "smoothgrad"])])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught: call()
    for word in words: assert word in str(caught.value), str(caught.value)
