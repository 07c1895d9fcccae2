"Perturbation tests, curves and μFidelity against a loop, and what they cannot depend on."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from xai_repro.evaluate import faithfulness as F
from xai_repro.evaluate.faithfulness import perturbation_test
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.removal import Constant


def f(rows): return (rows**2).sum(1) + rows[:, 0]*rows[:, 1]


def points(seed, m=4, p=5): return torch.as_tensor(np.random.default_rng(seed).normal(size=(m, p)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.sampled_from(["bottom", "top"]), baseline=st.floats(-1, 1))
def test_binary_is_the_loop(seed, order, baseline):
    X, a = points(seed), np.random.default_rng(seed + 1).normal(size=(4, 5))
    found = perturbation_test(f, X, a, order, baseline=baseline)
    for i, x in enumerate(X):
        ranked = sorted(range(5), key=lambda j: abs(a[i, j])*(1 if order == "bottom" else -1))
        for k in range(1, 6):
            moved = x.clone(); moved[ranked[:k]] = baseline
            assert found[i, k - 1] == pytest.approx(float((f(moved[None]) - f(x[None])).abs()), abs=1e-12)


def test_gaussian_noise_on_a_linear_model_has_its_expectation():
    w = torch.tensor([1., -2., 3.], dtype=torch.float64)
    found = perturbation_test(lambda rows: rows @ w, points(0, 3, 3), np.tile(w.numpy(), (3, 1)), "top", "gauss", n_draws=40_000, sigma=.2)
    assert np.allclose(found, .2*np.sqrt(2/np.pi)*np.sqrt([9, 13, 14]), rtol=.02)


def test_all_features_leave_no_choice():
    X = points(1)
    for noise in ("binary", "gauss"):
        one, other = (perturbation_test(f, X, np.random.default_rng(s).normal(size=X.shape), o, noise, seed=3) for s, o in ((0, "bottom"), (1, "top")))
        assert np.allclose(one[:, -1], other[:, -1], atol=1e-12)


def test_only_the_order_of_absolute_values_counts():
    X, a = points(2), np.random.default_rng(0).normal(size=(4, 5))
    for noise in ("binary", "gauss"):
        assert np.array_equal(perturbation_test(f, X, a, "top", noise), perturbation_test(f, X, -a**3, "top", noise))


def test_some_k_are_a_part_of_all_and_the_seed_is_kept():
    X, a = points(3), points(4).numpy()
    whole = perturbation_test(f, X, a, noise="gauss", seed=1)
    assert np.array_equal(perturbation_test(f, X, a, noise="gauss", seed=1, ks=[2, 5]), whole[:, [1, 4]])
    assert not np.array_equal(perturbation_test(f, X, a, noise="gauss", seed=2), whole)


@pytest.mark.parametrize("options, words", [
    (dict(ks=[6]), ["k is 6", "from 1 to 5"]), (dict(order="middle"), ["order", "bottom, top"]), (dict(noise="salt"), ["noise", "binary, gauss"]),
    (dict(noise="gauss", sigma=-1), ["sigma"]), (dict(n_draws=0), ["n_draws"]), (dict(attributions=np.ones((4, 4))), ["attributions has shape (4, 4)", "(4, 5)"]),
    (dict(attributions=np.full((4, 5), np.nan)), ["attributions", "NaN"]), (dict(X=points(0)[0]), ["X has shape"])])
def test_bad_input(options, words):
    arguments = dict(f=f, X=points(0), attributions=np.ones((4, 5))) | options
    with pytest.raises(ValueError) as caught: perturbation_test(**arguments)
    for word in words: assert word in str(caught.value)


# insertion, deletion, highest confidence

def two_classes(d, seed):
    "A value function of random probabilities of two classes, by a table."
    table = np.random.default_rng(seed).random(2**d)
    def f(masks): p = table[masks @ (1 << np.arange(d))]; return np.stack([p, 1 - p], 1)
    f.n_features = d
    return f


def by_loop(f, order, target, areas, gone):
    "The curve, a step at a time, and its area as a sum of trapezoids."
    there = np.full(len(order), gone)
    x, y = [0.], [f(there[None])[0, target]]
    for i in order:
        there = there.copy(); there[i] = not gone
        x.append(x[-1] + areas[i]); y.append(f(there[None])[0, target])
    return x, y, sum((x[k + 1] - x[k])*(y[k + 1] + y[k])/2 for k in range(len(order)))


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 8), seed=st.integers(0, 10**6), target=st.integers(0, 1), gone=st.booleans(), equal=st.booleans())
def test_curves_are_what_a_loop_makes(d, seed, target, gone, equal):
    rng, f = np.random.default_rng(seed), two_classes(d, seed)
    order, areas = rng.permutation(d), np.full(d, 1/d) if equal else (a := rng.random(d) + .01)/a.sum()
    curve = (F.deletion if gone else F.insertion)(f, order, target, None if equal else areas)
    x, y, area = by_loop(f, order, target, areas, gone)
    assert np.allclose(curve.x, x) and np.allclose(curve.y, y) and np.isclose(curve.auc, area) and len(curve.x) == d + 1
    for within in (areas[order[0]] + 1e-6, 1.):
        assert np.isclose(F.highest_confidence(f, order, target, areas, min(within, 1.)), max(v for u, v in zip(F.insertion(f, order, target, areas).x[1:], F.insertion(f, order, target, areas).y[1:]) if u <= within + 1e-9))


def test_deletion_is_insertion_of_the_reverse_read_backwards():
    f, order = two_classes(6, 0), np.random.default_rng(1).permutation(6)
    assert np.allclose(F.deletion(f, order, 0).y, F.insertion(f, order[::-1], 0).y[::-1])


def test_areas_of_regions():
    segments = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])
    assert np.allclose(F.region_areas(segments), [.5, .25, .25])
    image = np.ones((3, 2, 4)); image[:, 0, 2:] = 0; image[0, 1, 3] = 0
    assert np.allclose(F.region_areas(segments, image), [4/6, 0, 2/6]), "black pixels do not count; one that lacks only red does"


# mu-fidelity

def by_ranks(a, b):
    "Spearman's correlation by hand: Pearson's of ranks, ties averaged."
    rank = lambda v: np.array([np.mean([i for i, w in enumerate(sorted(v)) if w == x]) for x in v])
    a, b = rank(a) - rank(a).mean(), rank(b) - rank(b).mean()
    return (a @ b)/np.sqrt((a @ a)*(b @ b))


@pytest.mark.parametrize("sizes", ["bernoulli", "fixed"])
def test_mu_fidelity_is_a_second_implementation_s(sizes):
    f, scores = two_classes(6, 5), np.random.default_rng(2).normal(size=6)
    rng = np.random.default_rng(3)
    u = rng.random((40, 6))
    sets = [[i for i in range(6) if row[i] < .3] for row in u] if sizes == "bernoulli" else [sorted(row.argsort()[:2]) for row in u]
    said = [sum(scores[i] for i in chosen) for chosen in sets]
    full = f(np.ones((1, 6), bool))[0, 1]
    fall = [full - f(np.array([[i not in chosen for i in range(6)]]))[0, 1] for chosen in sets]
    assert np.isclose(F.mu_fidelity(f, scores, 1, n_samples=40, subset=.3, seed=3, sizes=sizes), by_ranks(said, fall))
    assert np.isclose(F.mu_fidelity(f, scores, 1, n_samples=40, subset=.3, seed=3, sizes=sizes, correlation="pearson"), np.corrcoef(said, fall)[0, 1])


def test_mu_fidelity_of_the_true_weights_is_one():
    weights = np.array([.1, .3, .05, .2])
    def f(masks): return (masks @ weights)[:, None]
    f.n_features = 4
    assert np.isclose(F.mu_fidelity(f, weights, 0, correlation="pearson"), 1) and np.isclose(F.mu_fidelity(f, -weights, 0), -1)


# pixels

def test_a_pixel_curve_is_what_a_loop_makes():
    rng = np.random.default_rng(0)
    image, scores = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0)), rng.random((5, 6))
    predict = lambda images: torch.stack([images.mean((1, 2, 3)), images[:, 0].amax((1, 2))], 1)
    order = (-scores.ravel()).argsort()
    for gone in (False, True):
        curve = F.pixel_curve(predict, image, scores, 1, steps=7, gone=gone, batch_size=3)
        for x, y in zip(curve.x, curve.y):
            there = np.full(30, gone); there[order[:round(x*30)]] = not gone
            assert np.isclose(y, float((image*torch.tensor(there.reshape(5, 6)))[0].max()))
        assert len(curve.x) == 8 and curve.x[-1] == 1
    value = MaskedModel(predict, image, torch.arange(30).view(5, 6), Constant((0., 0., 0.)))
    assert np.isclose(F.pixel_curve(predict, image, scores, 1, steps=30).auc, F.insertion(value, order, 1).auc), "a pixel a step is a region of one pixel"


TWO = two_classes(3, 0)


@pytest.mark.parametrize("call, words", [
    (lambda: F.insertion(TWO, [0, 1], 0), "order is .*allowed: each of 0..2 once"),
    (lambda: F.insertion(TWO, [0., 1., 2.], 0), "whole numbers"),
    (lambda: F.deletion(TWO, [0, 1, 1], 0), "each of 0..2 once"),
    (lambda: F.deletion(TWO, [0, 1, 2], 0, [.2, .2, .2]), "areas sums to 0.6"),
    (lambda: F.deletion(TWO, [0, 1, 2], 0, [1.2, -.4, .2]), "smallest -0.4"),
    (lambda: F.deletion(TWO, [0, 1, 2], 0, [.5, .5]), r"areas has shape \(2,\); allowed: \(3,\)"),
    (lambda: F.deletion(TWO, [0, 1, 2], 2), "target is 2; allowed: a whole number from 0 to 1"),
    (lambda: F.highest_confidence(TWO, [0, 1, 2], 0, within=.2), "within is 0.2; allowed: at least 0.333"),
    (lambda: F.highest_confidence(TWO, [0, 1, 2], 0, within=1.2), "within is 1.2"),
    (lambda: F.mu_fidelity(TWO, [1, 2], 0), r"scores has shape \(2,\)"),
    (lambda: F.mu_fidelity(TWO, [1, 2, np.nan], 0), "scores holds 1 values that are NaN"),
    (lambda: F.mu_fidelity(TWO, [1, 2, 3], 0, subset=1.), "subset is 1.0"),
    (lambda: F.mu_fidelity(TWO, [0, 0, 0], 0), "the sum of scores is 0 for every one of 200 sets"),
    (lambda: F.region_areas(np.zeros((2, 2), int), np.zeros((3, 2, 2))), "image is black everywhere")])
def test_bad_curves(call, words):
    with pytest.raises(ValueError, match=words): call()


# local fidelity

@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), norm=st.sampled_from([1, 2, "inf"]), radius=st.floats(.1, 5))
def test_local_fidelity_is_sklearns_r2_on_the_points_of_the_ball(seed, norm, radius):
    from sklearn.metrics import mean_squared_error, r2_score
    from xai_repro.explain.distributions import ball
    center, w = np.random.default_rng(seed).normal(size=(2, 4))
    model, surrogate = (lambda X: np.sin(X).sum(1) + X[:, 0]*X[:, 1]), (lambda X: X @ w + .3)
    X = center + ball(50, 4, norm, radius, seed)
    assert F.local_fidelity(model, surrogate, center, norm, radius, 50, seed) == pytest.approx(r2_score(model(X), surrogate(X)), abs=1e-9)
    assert F.local_fidelity(model, surrogate, center, norm, radius, 50, seed, "inverse_mse") == pytest.approx(1/(1 + mean_squared_error(model(X), surrogate(X))), abs=1e-12)


@pytest.mark.parametrize("wrong, message", [
    (dict(measure="mse"), "measure is 'mse'; allowed: r2, inverse_mse"), (dict(norm="l2"), "norm is 'l2'; allowed: 1, 2, inf"), (dict(radius=0.), "radius is 0.0"), (dict(n=1), "n is 1"),
    (dict(f=lambda X: np.ones(len(X))), "f is 1 everywhere"), (dict(f=lambda X: X), r"f returned shape \(1000, 3\)"), (dict(g=lambda X: X[:, 0]/0), "g returned 1000 scores that are NaN or infinite"), (dict(center=[0., np.inf, 0.]), "center holds 1 values")])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_local_fidelity_says_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message): F.local_fidelity(**(dict(f=lambda X: X.sum(1), g=lambda X: X.sum(1), center=[0., 0., 0.]) | wrong))
