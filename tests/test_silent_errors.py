"What would be a number, and wrong, is refused; and what is kept is of what it was asked of."
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xai_repro import ground
from xai_repro import value as masked, cache as store
from xai_repro import bridges
from xai_repro.evaluate import certificates as C, faithfulness as F, metrics as judges
from xai_repro import vision_transformers
from xai_repro.explain import methods as attributions, lfa, limits as moments, distributions as N, subsets, surrogates
from xai_repro.inputs import segmentation as features, removal
from xai_repro import workbook
from xai_repro.workbook import ledger
from xai_repro.zoo import instances as inputs, models
from xai_repro.value import MaskFunction
from xai_repro.inputs.text import MaskedText

IMAGE = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
ALPHA = np.array([True, False, False, False])


def function(f, d=4): return MaskFunction(f, d)


def small(seed: int, weights: str = "") -> models.Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return models.Classifier("small", network.eval(), models.Preprocessing((.5,)*3, (.5,)*3), 32, list("abc"), torch.device("cpu"), weights=weights)


class Pair:
    "A value function of no base class."
    n_features = 3
    def __init__(self, f): self.f = f
    def __call__(self, masks): return self.f(masks)


def test_a_certificate_by_draws_is_not_above_the_exact_one_where_scores_are_no_distribution():
    flat = function(lambda m: np.tile([.9, .85], (len(m), 1)))
    exact, drawn = C.hard_stability(flat, ALPHA, .25), C.hard_stability(flat, ALPHA, .25, masking="bernoulli", n_samples=4000)
    assert drawn.radius <= exact.radius == pytest.approx(.1) and drawn.top[1] >= .85


def test_scores_are_checked_before_they_are_averaged():
    with pytest.raises(ValueError, match=r"value returned scores from -2 to 3; allowed: \[0, 1\]"): C.hard_stability(function(lambda m: np.where(m[:, :1], [[3., -2.]], [[-.5, 1.]])), ALPHA, quant=4)
    gone = function(lambda m: np.where(m[:, :1], [[np.nan, .2]], [[.9, .1]]))
    with pytest.raises(ValueError, match="NaN"): C.hard_stability(gone, ALPHA, votes=True)
    with pytest.raises(ValueError, match="NaN"): C.Smoothed(gone, np.ones((2, 4), bool), votes=True)(np.ones((1, 4), bool))


@pytest.mark.parametrize("kind", C.INTERVALS.values())
@pytest.mark.parametrize("s, n", [(5, 3), (-1, 3), (0, 0)])
def test_intervals_refuse_counts_that_cannot_be(kind, s, n):
    with pytest.raises(ValueError, match="allowed: 0 <= successes <= n"): kind(s, n, .1)


def test_a_function_of_another_shape_is_not_broadcast():
    X, w = torch.rand(3, 4), torch.arange(1., 5)
    flat = F.perturbation_test(lambda rows: rows @ w, X, X)
    assert flat.shape == (3, 4)
    with pytest.raises(ValueError, match=r"f returned shape \(12, 1\); allowed: \(12,\)"): F.perturbation_test(lambda rows: (rows @ w)[:, None], X, X)
    with pytest.raises(ValueError, match="f returned 12 scores that are NaN"): F.perturbation_test(lambda rows: rows @ w*torch.nan, X, X)


@pytest.mark.parametrize("ask", [lambda v: masked.class_scores(v, N.all_masks(3), 0), lambda v: F.insertion(v, np.arange(3), 0), lambda v: F.mu_fidelity(v, np.arange(3.), 0), lambda v: attributions.attribute("rise", 0, v, n_samples=8), lambda v: lfa.lime(v, 0, 8)])
def test_scores_of_another_shape_or_not_finite_are_refused(ask):
    with pytest.raises(ValueError, match="value returned shape"): ask(Pair(lambda m: np.ones((3, len(m)) if len(m) != 3 else (2, 3))))
    with pytest.raises(ValueError, match="value returned .* NaN or infinite"): ask(Pair(lambda m: np.full((len(m), 2), np.nan)))
    with pytest.raises(ValueError, match="value returned .* NaN or infinite"): ask(function(lambda m: np.full((len(m), 2), np.nan), 3))


def test_a_search_refuses_scores_and_directions_that_are_not_finite():
    with pytest.raises(ValueError, match="value returned .* NaN"): subsets.lima(function(lambda m: np.full((len(m), 2), np.nan)), 0)
    even = function(lambda m: np.full((len(m), 2), .5))
    with pytest.raises(ValueError, match="direction holds 4 values that are NaN"): subsets.lima(even, 0, features=function(lambda m: m.astype(float)), consistency="cosine", direction=[np.nan]*4)
    with pytest.raises(ValueError, match=r"direction has shape \(2,\); allowed: \(4,\)"): subsets.lima(even, 0, features=function(lambda m: m.astype(float)), consistency="cosine", direction=[1., 0.])


def test_equal_scores_have_no_correlation_whatever_their_rounding():
    with pytest.raises(F.NoVariation, match="sum of scores"): F.mu_fidelity(function(lambda m: m.sum(1), 30), np.full(30, .1), 0, sizes="fixed")


def test_pixels_and_regions():
    predict = lambda images: images.mean((2, 3))
    with pytest.raises(ValueError, match="target is -1"): F.pixel_curve(predict, IMAGE, IMAGE[0], -1, steps=4)
    with pytest.raises(ValueError, match="predict returned .* NaN"): F.pixel_curve(lambda images: predict(images)*torch.nan, IMAGE, IMAGE[0], 0, steps=4)
    with pytest.raises(ValueError, match="segments has 2 labels"): F.region_areas(np.array([[1, 1], [3, 3]]))
    with pytest.raises(ValueError, match="segments has shape"): F.region_areas(features.grid(IMAGE, 8), torch.rand(3, 16, 16))


def test_kept_scores_are_of_the_weights_and_the_removal_that_they_were_asked_of():
    class Grey(removal.Removal):
        def __init__(self, level, colours=None): self.level, self.colours = level, colours
        def baseline(self, image, segments): return torch.full_like(image, self.level)
    assert repr(Grey(.1)) == "Grey(level=0.1, colours=None)" != repr(Grey(.2)) and repr(Grey(.1, torch.zeros(2000))) != repr(Grey(.1, torch.arange(2000.)))
    cases = [judges.Case(small(seed), IMAGE, features.grid(IMAGE, 16), 0) for seed in (1, 2, 1)]
    assert cases[0].identity() == cases[2].identity() != cases[1].identity()
    assert small(1, "named").identity() == ("small", "named", "torch.float32")
    of = lambda gradients: inputs.image_inputs(replace(small(1), size=32), "embedded", 1, patch=16, gradients=gradients)[0].identity
    assert of(small(1)) != of(small(2))
    with pytest.raises(TypeError, match="object"): ground.digest(np.array(["a", "b"], object))


def test_a_network_is_left_as_it_was():
    network = small(1).network.train()
    found = bridges.as_metric("Insertion")(network, IMAGE[None], [0], IMAGE[None])
    assert network.training and np.isfinite(found).all()
    small_image = IMAGE[None, :, :16, :16]
    assert np.isfinite(bridges.as_metric("top")(network, small_image, [0], small_image)).all()       # a single segment


def test_transformers_with_other_tokens_before_those_of_patches_are_refused():
    import timm
    for options in (dict(reg_tokens=4), dict(class_token=False, global_pool="avg")):
        network = timm.models.VisionTransformer(img_size=32, patch_size=16, embed_dim=16, depth=1, num_heads=2, num_classes=3, **options)
        with pytest.raises(ValueError, match="tokens before those of patches; allowed: one, the class token"): vision_transformers.kind_of(network)


def test_mfaba_says_where_it_says_nothing():
    classifier = small(1)
    view, said = attributions.of_image(classifier, IMAGE, features.grid(IMAGE, 16)), int(classifier.predict(IMAGE[None]).argmax())
    with pytest.warns(lfa.DegenerateFit, match="not what the network says"): assert not attributions.attribute("mfaba", (said + 1) % 3, view=view).any()


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smoothgrad", "gradcam", "mfaba", "occlusion"])
def test_a_class_that_there_is_not_is_refused_by_name(method):
    classifier, segments = small(1), features.grid(IMAGE, 16)
    with pytest.raises(ValueError, match="target is 99"): attributions.attribute(method, 99, MaskedModel(classifier.predict, IMAGE, segments), attributions.of_image(classifier, IMAGE, segments))


def test_fits_at_the_edge():
    added = function(lambda m: m @ np.arange(1., 5))
    with pytest.warns(lfa.DegenerateFit, match="besides those that are passed through"): alone = lfa.explain(added, 0, N.kernel_shap(), 0., n_samples=2)
    assert np.allclose(alone.weights.sum(), 10) and alone.effective_sample_size == 0
    both = function(lambda m: m.all(1).astype(float))
    with pytest.warns(lfa.DegenerateFit, match="besides those that are passed through"): assert np.allclose(lfa.explain(both, 0, N.kernel_shap("exhaustive"), 0.).weights, .25)
    with pytest.raises(ValueError, match="weights of a batch are all 0"): lfa.approximate(lambda x: x.sum(1), np.full((1, 8), 10.), N.bernoulli(.25), fit="adam", n_samples=200)
    with pytest.raises(ValueError, match="the number of rows is 2"): surrogates.train_adam(np.eye(2), np.ones((1, 2)), np.ones(2))
    convolved = nn.Conv1d(1, 1, 2, dtype=torch.float32)
    assert np.isfinite(lfa.approximate(lambda x: convolved(x[:, None])[:, 0].sum(1), np.ones((1, 3)), N.normal(.1), n_samples=20).weights).all()


def test_inverses_of_small_numbers():
    wide = moments.lime_moments(600, .25)
    found = wide.inverse()
    assert np.isfinite([found.diagonal, found.off_diagonal]).all()
    assert moments.Moments(1, 4., 4.).inverse() == (1, .25, 0.)


def test_a_claim_is_counted_by_the_margin_that_it_was_judged_by():
    found = workbook.test_claim("equal to a thousandth", "GLIME A", "equal", "x", {"one": np.full(20, .01) + np.linspace(-1e-4, 1e-4, 20)}, margin=1e-3)
    assert found.verdict == "contradicted" and found.row()["margin"] == 1e-3
    holds, contradicted = ledger.claim_p_values(found)
    assert holds > .99 and contradicted < .01
    assert ledger.split_source("LIME-G colour images, 4.2") == ("LIME-G", "colour images, 4.2") and ledger.split_source("our finding") is None


def test_other_bad_input():
    with pytest.raises(TypeError, match="tokens is the text 'good film'"): MaskedText(lambda texts: np.ones((len(texts), 2)), "good film")
    with pytest.raises(ValueError, match="n_clusters is -3"): N.cluster(np.random.default_rng(0).random((6, 2)), np.zeros(2), n_clusters=-3)
    with pytest.raises(ValueError, match="radius is -1"): C.size_distribution(3, -1)
