"""LFA's eight methods as rows, against captum, exact Shapley values and the theory."""
from contextlib import contextmanager
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from captum import attr
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro.explain import distributions
from xai_repro.explain.captum_methods import EXISTING, captum_attribute
from xai_repro.explain.lfa import TABLE_1, approximate, attribute

P = 6


def random_tensor(draw, *shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return draw(*shape, dtype=torch.float64, generator=generator)


POINTS = random_tensor(torch.rand, 5, P, seed=1)
W = random_tensor(torch.randn, P, seed=2)


def bent(rows):
    """A smooth function in float64 whose features interact."""
    a, b, c, d, e, _ = rows.unbind(1)
    wave = torch.tanh(rows @ W)*a
    curve = b**2*c.exp()
    return wave + curve - d*e


def mean_gap(a, b):
    return np.abs(a - b).mean()


# equal to captum

def assert_equal(ours, theirs):
    numbers = torch.as_tensor(theirs).detach().numpy()
    assert np.allclose(ours, numbers, rtol=0, atol=1e-6)


def test_smoothgrad_is_captums_on_the_same_draws(monkeypatch):
    """captum draws its noise with torch.normal; it is given ours."""
    n = 200
    sigma = .1
    noise = distributions.normal(sigma).sample(n, P, 0)
    draws = iter(torch.as_tensor(noise))

    def normal(mean, std):
        return next(draws).expand(std.shape).clone()

    monkeypatch.setattr(torch, "normal", normal)
    method = attr.NoiseTunnel(attr.Saliency(bent))
    options = {"nt_type": "smoothgrad", "nt_samples": n, "nt_samples_batch_size": 1}
    points = POINTS.clone().requires_grad_()
    theirs = method.attribute(points, **options, stdevs=sigma, abs=False)
    assert next(draws, None) is None, "every draw was used"
    ours = attribute("smoothgrad", bent, POINTS, n, seed=0, sigma=sigma)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("n", [5, 50])
def test_integrated_gradients_is_captums_at_the_same_nodes(n):
    method = attr.IntegratedGradients(bent)
    theirs = method.attribute(POINTS, n_steps=n, method="gausslegendre")
    ours = attribute("integrated_gradients", bent, POINTS, n)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("method", ["occlusion", "vanilla_gradients", "gradient_x_input"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_draws_nothing_is_captums(method, dtype):
    def f(rows):
        return bent(rows.double()).to(rows.dtype)

    X = POINTS.to(dtype)
    ours = attribute(method, f, X)
    theirs = captum_attribute(method, f, X)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("method, options", [("lime", {"kernel": "captum"}), ("kernel_shap", {})])
def test_what_draws_masks_is_captums_in_the_limit(method, options):
    """Mean absolute difference of two explanations by n masks each falls like n^-1/2."""
    X = POINTS[:2]
    gaps = []
    for n in (200, 12_800):
        ours = attribute(method, bent, X, n, **options)
        theirs = captum_attribute(method, bent, X, n)
        gaps.append(mean_gap(ours, theirs))
    few, many = gaps
    assert many < .3*few
    assert many < .02


@pytest.mark.parametrize("method", EXISTING)
def test_captum_leaves_the_global_generator_alone(method):
    before = torch.random.get_rng_state()
    captum_attribute(method, bent, POINTS[:1], 20)
    after = torch.random.get_rng_state()
    assert torch.equal(before, after)


# Shapley values

def shapley_values(f, x: torch.Tensor) -> np.ndarray:
    """By the definition: the mean marginal contribution over all orders, by subsets."""
    p = len(x)

    def value(subset):
        masked = torch.zeros(1, p, dtype=x.dtype)
        index = list(subset)
        masked[0, index] = x[index]
        return float(f(masked)[0])

    phi = np.zeros(p)
    for i in range(p):
        rest = set(range(p)) - {i}
        for k in range(p):
            orders = factorial(k)*factorial(p - k - 1)
            for subset in combinations(rest, k):
                gain = value((*subset, i)) - value(subset)
                phi[i] += orders*gain
    return phi/factorial(p)


def point_and_function(p):
    """A point [1, p] and a function whose p features all interact."""
    generator = torch.Generator().manual_seed(p)
    options = {"dtype": torch.float64, "generator": generator}
    A = torch.randn(p, p, **options)
    b = torch.randn(p, **options)
    x = torch.rand(1, p, **options)

    def f(rows):
        mixed = rows @ A
        product = torch.tanh(mixed).prod(1)
        wave = torch.sin(rows @ b)
        quadratic = (mixed*rows).sum(1)
        return product + wave + quadratic

    return x, f


@pytest.mark.parametrize("p", [2, 3, 6, 10])
def test_kernel_shap_over_all_coalitions_is_exact(p):
    x, f = point_and_function(p)
    ours = attribute("kernel_shap", f, x, sampling="exhaustive")[0]
    exact = shapley_values(f, x[0])
    assert np.allclose(ours, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sampling", ["shapley", "bernoulli"])
def test_sampled_kernel_shap_is_efficient_and_converges(sampling):
    x, f = point_and_function(6)
    exact = shapley_values(f, x[0])

    def over_seeds(n):
        values = []
        for seed in range(6):
            one = attribute("kernel_shap", f, x, n, seed=seed, sampling=sampling)
            values.append(one[0])
        return np.stack(values)

    few = over_seeds(100)
    many = over_seeds(6400)
    total = exact.sum()
    assert np.allclose(few.sum(1), total, rtol=0, atol=1e-9), "efficient for every sample"
    error = mean_gap(many, exact)
    largest = np.abs(exact).max()
    assert error < .05*largest
    assert error < .35*mean_gap(few, exact)


# the theory

def signed(rng, p):
    """Three points that are not at the baseline, of either sign."""
    size = rng.uniform(.2, 1, (3, p))
    sign = rng.choice([-1, 1], (3, p))
    return size*sign


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.integers(2, 9), intercept=st.floats(-3, 3))
def test_remark_1(seed, p, intercept):
    """On a linear model additive methods return w, the others w ⊙ x.

    With the modified loss all return w where x is not at the baseline.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(size=p)
    X = signed(rng, p)
    slope = torch.as_tensor(w)

    def f(rows):
        return rows @ slope + intercept

    for name, row in TABLE_1.items():
        ours = attribute(name, f, X, 400, seed=seed)
        expected = w if row.operator == "add" else w*X
        assert np.allclose(ours, expected, atol=1e-7), name
        around = row.distribution()
        modified = approximate(f, X, around, row.loss, 400, seed, argument="input")
        assert np.allclose(modified.weights, w, atol=1e-7), name


@pytest.mark.parametrize("wide, option, values, narrow", [
    ("smoothgrad", "sigma", (.2, .05, .01), "vanilla_gradients"),
    ("c_lime", "sigma", (.2, .05, .01), "vanilla_gradients"),
    ("integrated_gradients", "a", (0., .8, .99), "gradient_x_input"),
])
def test_narrow_noise_is_the_limit(wide, option, values, narrow):
    limit = attribute(narrow, bent, POINTS)
    gaps = []
    for value in values:
        ours = attribute(wide, bent, POINTS, 4000, **{option: value})
        gaps.append(mean_gap(ours, limit))
    wide_gap, middle_gap, narrow_gap = gaps
    assert wide_gap > middle_gap > narrow_gap
    assert narrow_gap < .05*np.abs(limit).mean()


def test_completeness_of_integrated_gradients_with_any_baseline():
    baseline = torch.linspace(-.5, .5, P, dtype=torch.float64)
    ours = attribute("integrated_gradients", bent, POINTS, 64, baseline=baseline)
    change = bent(POINTS) - bent(baseline[None])
    total = ours.sum(1)
    assert np.allclose(total, change.numpy(), atol=1e-10)


def test_drawn_integrated_gradients_converge_to_the_quadrature():
    exact = attribute("integrated_gradients", bent, POINTS, 64)
    drawn = attribute("integrated_gradients", bent, POINTS, 40_000, quadrature=False)
    assert np.abs(drawn - exact).max() < .02


# points, precision and counting

@pytest.mark.parametrize("name", TABLE_1)
def test_a_point_does_not_depend_on_the_others_or_on_chunks(name):
    row = TABLE_1[name]
    together = attribute(name, bent, POINTS, 64, seed=3)
    alone = [attribute(name, bent, x[None], 64, seed=3) for x in POINTS]
    assert np.allclose(together, np.concatenate(alone), atol=1e-12)
    around = row.distribution()
    chunked = approximate(bent, POINTS, around, row.loss, 64, 3, batch_rows=100)
    assert np.allclose(together, chunked.weights, atol=1e-12)


def test_one_point_has_no_axis():
    def by_rows(rows):
        # a product of matrices may differ in its last bit with the number of rows
        scores = torch.tanh((rows*W).sum(1))
        first, second, *_ = rows.unbind(1)
        return scores*first + second**2

    around = distributions.normal(.1)
    many = approximate(by_rows, POINTS, around, n_samples=50)
    one = approximate(by_rows, POINTS[0], around, n_samples=50)
    assert many.weights.shape == (5, P)
    assert one.weights.shape == (P,)
    assert np.array_equal(many.weights[0], one.weights)
    assert one.r2 == many.r2[0]
    assert many.n_queries == 5*50
    assert one.n_queries == 50


@pytest.mark.parametrize("wrapped", [False, True])
def test_networks_in_float32_explain_float64_points(wrapped):
    first = torch.nn.Linear(P, 4)
    last = torch.nn.Linear(4, 1)
    network = torch.nn.Sequential(first, torch.nn.Tanh(), last, torch.nn.Flatten(0))

    def call(rows):
        return network(rows)

    f = call if wrapped else network
    ours = attribute("smoothgrad", f, POINTS.numpy(), 50)
    assert ours.dtype == np.float64
    assert np.isfinite(ours).all()
    for weights in network.parameters():
        assert weights.grad is None


@pytest.mark.parametrize("method", ["smoothgrad", "lime", "occlusion"])
def test_adam_comes_near_the_closed_form(method):
    """As the released code fits: within a few percent of the minimum."""
    closed = attribute(method, bent, POINTS, 400)
    adam = attribute(method, bent, POINTS, 400, fit="adam")
    assert not np.array_equal(adam, closed)
    assert mean_gap(adam, closed) < .1*np.abs(closed).mean()


# bad input

@contextmanager
def raises(error, words):
    """An error whose message has all of the words."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    for word in words:
        assert word in message


@pytest.mark.parametrize("method, options, words", [
    ("gradcam", {}, ["method", "gradcam", "c_lime", "occlusion"]),
    ("lime", {"sigma": 1.}, ["option of lime", "sigma", "kernel_width"]),
    ("smoothgrad", {"sigma": 0}, ["sigma", "0"]),
    ("smoothgrad", {"n_samples": 0}, ["n_samples", "0"]),
    ("integrated_gradients", {"a": 1.}, ["a is 1.0", "below 1"]),
    ("kernel_shap", {"sampling": "uniform"}, ["sampling", "shapley, bernoulli, exhaustive"]),
    ("lime", {"fit": "sgd"}, ["fit", "closed, adam"]),
    ("lime", {"baseline": [0., 1.]}, ["baseline", "(2,)", "(6,)"]),
])
def test_bad_options(method, options, words):
    with raises(ValueError, words):
        attribute(method, bent, POINTS, **options)


@pytest.mark.parametrize("X, words", [
    (POINTS[0], ["X", "(6,)", "(n, p)"]),
    (torch.where(POINTS > .9, torch.nan, POINTS), ["X", "NaN", "row"]),
])
def test_bad_points(X, words):
    with raises(ValueError, words):
        attribute("lime", bent, X)


def test_kernel_shap_of_a_single_feature_is_its_effect():
    weights = attribute("kernel_shap", lambda rows: .7*rows[:, 0] + .1, POINTS[:, :1])
    assert np.allclose(weights, .7*POINTS[:, :1], atol=1e-6)


@pytest.mark.parametrize("method, f, error, words", [
    ("lime", lambda rows: rows, ValueError, ["f returned shape", "one number a row"]),
    ("lime", lambda rows: rows.sum(1)/0, ValueError, ["f returned", "infinite"]),
    ("smoothgrad", lambda rows: rows.detach().sum(1), TypeError,
     ["no gradient", "loss='squared'"]),
    ("vanilla_gradients", lambda rows: torch.ones(len(rows), requires_grad=True)*2, TypeError,
     ["no gradient"]),
])
def test_bad_functions(method, f, error, words):
    with raises(error, words):
        attribute(method, f, POINTS)


@pytest.mark.parametrize("around, loss, words", [
    (distributions.one_out(), "gradient", ["masks", "squared"]),
    (distributions.normal(.1), "hinge", ["loss", "squared, gradient"]),
])
def test_bad_losses(around, loss, words):
    with raises(ValueError, words):
        approximate(bent, POINTS, around, loss=loss)


def test_captum_does_not_have_every_method():
    with pytest.raises(ValueError, match=r"method is 'c_lime'; allowed: .*smoothgrad"):
        captum_attribute("c_lime", bent, POINTS)
