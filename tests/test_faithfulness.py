"Perturbation tests against a loop, and what they cannot depend on."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from xai_repro.faithfulness import perturbation_test


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
