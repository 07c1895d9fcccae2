"Attributions by masks and by gradients, on functions whose answer is known."
import numpy as np
import pytest
import torch

from xai_repro import cache as store
from xai_repro.explain import methods as A, lfa
from xai_repro.inputs import segmentation as features
from xai_repro.zoo import instances as inputs, models
from xai_repro.value import MaskFunction

W = torch.linspace(-1, 1, 12).reshape(3, 2, 2)
X, BASE = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.full((3, 2, 2), .5)


def linear_view(pool=lambda s: s.sum(0).flatten().double().numpy()):
    "Two classes; log-odds linear in the input."
    return A.Differentiable(lambda rows: torch.stack([torch.zeros(len(rows)), (rows*W).sum((1, 2, 3))], 1), X, BASE, pool, (0., 1.))


def test_integrated_gradients_is_complete_and_without_the_factor_is_the_mean_gradient():
    view = linear_view()
    scores = A.attribute("integrated_gradients", 1, view=view, steps=32)
    p = lambda x: float(view.logits(x[None]).softmax(1)[0, 1])
    assert scores.sum() == pytest.approx(p(X) - p(BASE), abs=1e-5)
    released = A.attribute("integrated_gradients", 1, view=linear_view(), steps=32, multiply=False)
    path = [BASE + a*(X - BASE) for a in (np.polynomial.legendre.leggauss(32)[0] + 1)/2]
    mean = sum(w/2*p(x)*(1 - p(x)) for w, x in zip(np.polynomial.legendre.leggauss(32)[1], path))
    assert np.allclose(released, (mean*W).sum(0).flatten().numpy(), atol=1e-5)


def test_mfaba_walks_until_the_class_changes():
    "One step: -Δx ⊙ ∇p with Δx = -step ∇p/‖∇p‖, so that the scores are step (∇p)²/‖∇p‖; and none where the class is not the predicted one."
    view = linear_view(lambda s: s.flatten().double().numpy())
    target = int(view.logits(X[None]).argmax())
    x = X.clone().requires_grad_()
    g, = torch.autograd.grad(view.logits(x[None]).softmax(1)[0, target], x)
    assert np.allclose(A.attribute("mfaba", target, view=view, step=1e-3, most=1), (1e-3*g**2/g.norm()).flatten().numpy(), atol=1e-8)
    with pytest.warns(lfa.DegenerateFit, match="not what the network says"): assert not A.attribute("mfaba", 1 - target, view=view).any()
    long = A.attribute("mfaba", target, view=view, step=.01, most=2000)
    assert (long >= -1e-12).all() and long.sum() > 0


@pytest.mark.parametrize("method, options", [("lime", {}), ("kernel_shap", {}), ("glime_binomial", dict(sigma=2.))])
def test_mask_methods_recover_a_linear_function(method, options):
    w = np.array([.1, -.2, .3, 0., .15, .05])
    value = MaskFunction(lambda m: np.stack([m @ w, 1 - m @ w], 1), 6)
    found = A.attribute(method, 0, value, n_samples=4000, **options)
    assert np.allclose(found, w, atol=.005)


def test_random_is_a_permutation_by_seed():
    value = MaskFunction(lambda m: np.ones((len(m), 2)), 9)
    one = A.attribute("random", 0, value, seed=1)
    assert sorted(one) == list(range(9)) and np.array_equal(one, A.attribute("random", 0, value, seed=1)) and not np.array_equal(one, A.attribute("random", 0, value, seed=2))
    assert len(A.attribute("random", 0, view=linear_view())) == 4


def test_pooling_is_the_mean_over_a_segment():
    classifier = models.Classifier("toy", torch.nn.Flatten(), models.Preprocessing((0.,)*3, (1.,)*3), 4, ["a"], torch.device("cpu"))
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
    segments = features.grid(image, 2)
    view = A.of_image(classifier, image, segments)
    scores = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert np.allclose(view.pool(scores), [scores[:, segments == i].mean() for i in range(4)], atol=1e-6)


@pytest.mark.parametrize("share, expected", [(.25, "0100"), (.5, "0110"), (.75, "1110"), (1., "1111")])
def test_the_top_share(share, expected):
    assert "".join("01"[int(b)] for b in A.select_top([.1, .9, .9, -2.], share)) == expected
    assert A.select_top([.1, .9, .9, -2.], .25, "absolute").tolist() == [False, False, False, True]


def test_an_input_is_asked_once(tmp_path):
    x, = inputs.image_inputs(models.load("efficientnet_lite0", "cpu"), "embedded", 1, patch=112)
    kept = store.Store(tmp_path)
    first = inputs.attribute_once(kept, x, "lime", 20)
    passes = x.value.n_queries
    assert np.array_equal(first, inputs.attribute_once(kept, x, "lime", 20)) and x.value.n_queries == passes and x.label is None
    assert not np.array_equal(first, inputs.attribute_once(kept, x, "lime", 20, seed=1)) and x.d == 4


@pytest.mark.parametrize("call, words", [
    (lambda: A.attribute("grad-cam", 0), ["method", "gradcam", "lime"]), (lambda: A.attribute("lime", 0), ["value is None", "MaskedModel"]), (lambda: A.attribute("mfaba", 0), ["view is None", "of_image"]),
    (lambda: A.attribute("random", 0), ["value and view are None"]), (lambda: A.select_top([1., 2.], 0), ["share"]), (lambda: A.select_top([1., 2.], 2.), ["share is 2.0 of 2 features"]),
    (lambda: A.select_top([1., np.nan], .5), ["scores", "NaN"]), (lambda: A.select_top([1., 2.], .5, "size"), ["by", "signed, absolute"])])
def test_bad_input(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)
