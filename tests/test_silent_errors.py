"""What would be a number, and wrong, is refused; and stored answers are of what was asked."""
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small_models import random_image, small_classifier, small_network
from torch import nn

from xai_repro import bridges, vision_transformers, workbook
from xai_repro.evaluate import certificates, faithfulness
from xai_repro.explain import distributions, lfa, limits, perturbation, subsets, surrogates
from xai_repro.explain.distributions import all_masks
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.removal import Removal
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.text import MaskedText
from xai_repro.value import MaskFunction, class_scores
from xai_repro.workbook import ledger
from xai_repro.zoo import instances, models

IMAGE = random_image()
ALPHA = np.array([True, False, False, False])


def function(f, d=4): return MaskFunction(f, d)


class Pair:
    """A value function of no base class."""

    n_features = 3

    def __init__(self, f):
        self.f = f

    def __call__(self, masks): return self.f(masks)


def not_numbers(masks): return np.full((len(masks), 2), np.nan)


def even(masks): return np.full((len(masks), 2), .5)


# certificates

def close_classes(masks): return np.tile([.9, .85], (len(masks), 1))


def test_a_drawn_certificate_is_not_above_the_exact_one_where_scores_are_no_distribution():
    flat = function(close_classes)
    exact = certificates.hard_stability(flat, ALPHA, .25)
    drawn = certificates.hard_stability(flat, ALPHA, .25, masking="bernoulli", n_samples=4000)
    assert exact.radius == pytest.approx(.1)
    assert drawn.radius <= exact.radius
    assert drawn.top[1] >= .85


def outside(masks): return by_first(masks, [3., -2.], [-.5, 1.])


def partly_missing(masks): return by_first(masks, [np.nan, .2], [.9, .1])


def by_first(masks, present, absent):
    """Scores of two classes with the first feature, and without it."""
    first = masks[:, :1]
    return np.where(first, present, absent)


def test_scores_are_checked_before_they_are_averaged():
    with pytest.raises(ValueError, match=r"scores from -2 to 3; allowed: \[0, 1\]"):
        certificates.hard_stability(function(outside), ALPHA, quant=4)
    missing = function(partly_missing)
    with pytest.raises(ValueError, match="NaN"):
        certificates.hard_stability(missing, ALPHA, votes=True)
    smoothed = certificates.Smoothed(missing, np.ones((2, 4), bool), votes=True)
    with pytest.raises(ValueError, match="NaN"):
        smoothed(np.ones((1, 4), bool))


@pytest.mark.parametrize("kind", certificates.INTERVALS.values())
@pytest.mark.parametrize("s, n", [(5, 3), (-1, 3), (0, 0)])
def test_intervals_refuse_counts_that_cannot_be(kind, s, n):
    with pytest.raises(ValueError, match="allowed: 0 <= successes <= n"):
        kind(s, n, .1)


# scores of another shape, or not finite

def test_a_function_of_another_shape_is_not_broadcast():
    X = torch.rand(3, 4)
    w = torch.arange(1., 5)

    def f(rows): return rows @ w

    flat = faithfulness.perturbation_test(f, X, X)
    assert flat.shape == (3, 4)
    with pytest.raises(ValueError, match=r"f returned shape \(12, 1\); allowed: \(12,\)"):
        faithfulness.perturbation_test(lambda rows: f(rows)[:, None], X, X)
    with pytest.raises(ValueError, match="f returned 12 scores that are NaN"):
        faithfulness.perturbation_test(lambda rows: f(rows)*torch.nan, X, X)


def ask_scores(value): class_scores(value, all_masks(3), 0)


def ask_insertion(value): faithfulness.insertion(value, np.arange(3), 0)


def ask_mu_fidelity(value): faithfulness.mu_fidelity(value, np.arange(3.), 0)


def ask_rise(value): perturbation.rise(value, 0, 8)


def ask_lime(value): lfa.lime(value, 0, 8)


def ask_occlusion(value): perturbation.occlusion(value, 0)


def ask_sobol(value): perturbation.sobol(value, 0, 8)


ASK = [ask_scores, ask_insertion, ask_mu_fidelity, ask_rise, ask_lime, ask_occlusion, ask_sobol]


def sideways(masks):
    """Scores [K, n], or of another number of masks where that would pass."""
    n = len(masks)
    shape = (2, 3) if n == 3 else (3, n)
    return np.ones(shape)


@pytest.mark.parametrize("ask", ASK)
def test_scores_of_another_shape_or_not_finite_are_refused(ask):
    with pytest.raises(ValueError, match="value returned shape"):
        ask(Pair(sideways))
    with pytest.raises(ValueError, match=r"value returned .* NaN or infinite"):
        ask(Pair(not_numbers))
    with pytest.raises(ValueError, match=r"value returned .* NaN or infinite"):
        ask(function(not_numbers, 3))


def test_a_search_refuses_scores_that_are_not_finite():
    with pytest.raises(ValueError, match=r"value returned .* NaN"):
        subsets.lima(function(not_numbers), 0)


@pytest.mark.parametrize("direction, words", [
    ([np.nan]*4, "direction holds 4 values that are NaN"),
    ([1., 0.], r"direction has shape \(2,\); allowed: \(4,\)")])
def test_a_search_refuses_other_directions(direction, words):
    features = function(lambda masks: masks.astype(float))
    with pytest.raises(ValueError, match=words):
        subsets.lima(
            function(even), 0, features=features, consistency="cosine", direction=direction)


def test_equal_scores_have_no_correlation_whatever_their_rounding():
    size = function(lambda masks: masks.sum(1), 30)
    with pytest.raises(faithfulness.NoVariation, match="sum of scores"):
        faithfulness.mu_fidelity(size, np.full(30, .1), 0, sizes="fixed")


def colours(images): return images.mean((2, 3))


def test_a_curve_of_pixels_refuses_other_classes_and_scores():
    curve = partial(faithfulness.pixel_curve, image=IMAGE, scores=IMAGE[0], steps=4)
    with pytest.raises(ValueError, match="target is -1"):
        curve(colours, target=-1)
    with pytest.raises(ValueError, match=r"predict returned .* NaN"):
        curve(lambda images: colours(images)*torch.nan, target=0)


def test_areas_refuse_segments_with_gaps_and_of_another_size():
    with pytest.raises(ValueError, match="segments has 2 labels"):
        faithfulness.region_areas(np.array([[1, 1], [3, 3]]))
    with pytest.raises(ValueError, match="segments has shape"):
        faithfulness.region_areas(grid(IMAGE, 8), torch.rand(3, 16, 16))


# whose answers are stored

class Grey(Removal):
    """A removal that somebody writes without thinking of its repr."""

    def __init__(self, level, colours=None):
        self.level = level
        self.colours = colours

    def baseline(self, image, segments): return torch.full_like(image, self.level)


def test_the_repr_of_a_removal_has_all_that_it_is_made_of():
    assert repr(Grey(.1)) == "Grey(level=0.1, colours=None)"
    assert repr(Grey(.2)) != repr(Grey(.1))
    zeros = Grey(.1, torch.zeros(2000))
    numbers = Grey(.1, torch.arange(2000.))
    assert repr(zeros) != repr(numbers)


def test_answers_are_of_the_weights_and_the_removal_that_they_were_asked_of():
    tiles = grid(IMAGE, 16)

    def identity(seed, level=.1):
        instance = image_instance(small_classifier(seed), IMAGE, tiles, Grey(level), 0)
        return instance.identity

    identities = {identity(1), identity(2), identity(1, .2)}
    assert len(identities) == 3
    assert identity(1) == identity(1)
    named = small_classifier(1, "named")
    assert named.identity()[:3] == ("small", "named", "torch.float32")
    assert named.identity() == small_classifier(1, "named").identity()
    hotter = replace(named, preprocessing=models.IMAGENET)
    assert hotter.identity() != named.identity(), "a name of weights says nothing of pixels"


def test_answers_are_not_of_what_answers_gradients():
    classifier = small_classifier(1)

    def instance(gradients):
        made, = instances.image_instances(
            classifier, "embedded", 1, patch=16, gradients=gradients)
        return made

    one = instance(small_classifier(1))
    other = instance(small_classifier(2))
    whole = np.ones((1, one.d), bool)
    assert one.identity == other.identity
    assert np.array_equal(one(whole), other(whole))
    image = one.view.x[None]
    logits = one.view.logits(image)
    assert not torch.equal(logits, other.view.logits(image))


# other libraries

def test_a_network_is_left_as_it_was():
    network = small_network(1).train()
    metric = bridges.as_metric("insertion")
    batch = IMAGE[None]
    values = metric(network, batch, [0], batch)
    assert network.training
    assert np.isfinite(values).all()


@pytest.mark.parametrize("metric", bridges.OF_ONE)
def test_an_image_of_a_single_segment_is_measured(metric):
    small = IMAGE[None, :, :16, :16]
    measure = bridges.as_metric(metric)
    values = measure(small_network(1), small, [0], small)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("options", [
    dict(reg_tokens=4), dict(class_token=False, global_pool="avg")])
def test_transformers_with_other_tokens_before_those_of_patches_are_refused(options):
    import timm
    small = dict(img_size=32, patch_size=16, embed_dim=16, depth=1, num_heads=2, num_classes=3)
    network = timm.models.VisionTransformer(**small, **options)
    message = "tokens before those of patches; allowed: one, the class token"
    with pytest.raises(ValueError, match=message):
        vision_transformers.kind_of(network)


# fits at the edge

BESIDES = "besides those that are passed through"


def test_two_samples_that_are_passed_through():
    added = function(lambda masks: masks @ np.arange(1., 5))
    with pytest.warns(lfa.DegenerateFit, match=BESIDES):
        alone = lfa.explain(added, 0, distributions.kernel_shap(), 0., n_samples=2)
    assert np.allclose(alone.weights.sum(), 10)
    assert alone.effective_sample_size == 0


def test_scores_that_vary_at_the_ends_alone():
    both = function(lambda masks: masks.all(1).astype(float))
    with pytest.warns(lfa.DegenerateFit, match=BESIDES):
        explanation = lfa.explain(both, 0, distributions.kernel_shap("exhaustive"), 0.)
    assert np.allclose(explanation.weights, .25)


def test_a_batch_without_weight_is_refused():
    far = np.full((1, 8), 10.)
    narrow = distributions.bernoulli(.25)
    with pytest.raises(ValueError, match="weights of a batch are all 0"):
        lfa.approximate(lambda rows: rows.sum(1), far, narrow, fit="adam", n_samples=200)


def test_too_few_rows_to_train_on_are_refused():
    y = np.ones((1, 2))
    with pytest.raises(ValueError, match="the number of rows is 2"):
        surrogates.train_adam(np.eye(2), y, np.ones(2))


def test_a_function_of_single_precision_in_disguise():
    convolved = nn.Conv1d(1, 1, 2, dtype=torch.float32)

    def f(rows):
        outputs = convolved(rows[:, None])
        return outputs.sum((1, 2))

    around = distributions.normal(.1)
    found = lfa.approximate(f, np.ones((1, 3)), around, n_samples=20)
    assert np.isfinite(found.weights).all()


def test_inverses_of_small_numbers():
    inverse = limits.lime_moments(600, .25).inverse()
    assert np.isfinite([inverse.diagonal, inverse.off_diagonal]).all()
    assert limits.Moments(1, 4., 4.).inverse() == (1, .25, 0.)


# claims

def test_a_claim_is_counted_by_the_margin_that_it_was_tested_by():
    spread = np.linspace(-1e-4, 1e-4, 20)
    effects = .01 + spread
    claim = workbook.test_claim(
        "equal to a thousandth", "GLIME A", "equal", "x", {"one": effects}, margin=1e-3)
    assert claim.verdict == "contradicted"
    assert claim.row()["margin"] == 1e-3
    p_holds, p_contradicted = ledger.claim_p_values(claim)
    assert p_holds > .99
    assert p_contradicted < .01


def test_the_source_of_a_claim_is_its_paper_and_the_rest():
    split = ledger.split_source("LIME-G colour images, 4.2")
    assert split == ("LIME-G", "colour images, 4.2")
    assert ledger.split_source("our finding") is None


# other bad input

def test_a_text_is_not_its_letters():
    with pytest.raises(TypeError, match="tokens is the text 'good film'"):
        MaskedText(lambda texts: np.ones((len(texts), 2)), "good film")


def test_a_negative_number_of_clusters():
    rows = np.random.default_rng(0).random((6, 2))
    with pytest.raises(ValueError, match="n_clusters is -3"):
        distributions.cluster(rows, np.zeros(2), n_clusters=-3)


def test_a_negative_radius():
    with pytest.raises(ValueError, match="radius is -1"):
        certificates.size_distribution(3, -1)
