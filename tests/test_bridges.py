"""Attributions to and from other libraries: round trips, and the same numbers as theirs."""
import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, IntegratedGradients
from pytest import approx
from small_models import random_image, small_network
from small_texts import TOKENIZERS, classifier, fast, roberta
from torch import nn

import xai_repro as xr
from xai_repro import bridges
from xai_repro.explain.distributions import all_masks
from xai_repro.inputs.removal import Constant
from xai_repro.inputs.segmentation import grid

IMAGE = random_image()
TILES = grid(IMAGE, 16)      # 4 squares
NETWORK = small_network(0)
SCORES = np.array([.5, -1., 2., 0.])


def picture(**options):
    return xr.image(IMAGE, NETWORK, segmentation=TILES, removal=Constant(), **options)


def row():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    return xr.tabular([.3, -.2, 1., 2.], network)


def text():
    tokenizer = fast(TOKENIZERS["WordPiece"]())
    return xr.text("a good film", classifier(tokenizer, roberta(tokenizer)))


def shares(images): return torch.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], 1)


def of_a_function(): return xr.image(IMAGE, shares, segmentation=TILES)


# tensors

@pytest.mark.parametrize("make, shape", [
    (picture, (1, 3, 32, 32)), (row, (1, 4)), (of_a_function, (1, 3, 32, 32))])
def test_what_goes_to_a_tensor_comes_back(make, shape):
    instance = make()
    tensor = bridges.to_tensor(instance, SCORES)
    assert tensor.shape == shape
    back = bridges.from_tensor(instance, tensor, "mine", target=1)
    assert np.allclose(back.scores, SCORES, atol=1e-6)
    assert (back.method, back.target, back.n_queries) == ("mine", 1, 0)
    assert np.allclose(bridges.to_tensor(instance, back), tensor, atol=1e-6)


def test_of_a_text_a_tokens_score_is_the_sum_over_its_dimensions():
    instance = text()
    scores = np.arange(instance.d)
    tensor = bridges.to_tensor(instance, scores)
    assert tensor.shape == (1, *instance.view.x.shape)
    assert np.allclose(tensor[0].sum(1), scores, atol=1e-4)
    back = bridges.from_tensor(instance, tensor)
    assert np.allclose(back.scores, scores, atol=1e-4)
    assert back.names() == list(instance.feature_names)


def test_pixels_of_a_segment_are_averaged_over_channels_too():
    generator = torch.Generator().manual_seed(0)
    tensor = torch.randn(1, 3, 32, 32, generator=generator, dtype=torch.float64)
    expected = [tensor[0, :, TILES == segment].mean() for segment in range(4)]
    for instance in (picture(), of_a_function()):
        assert np.allclose(bridges.from_tensor(instance, tensor).scores, expected)
    one_channel = tensor.mean(1, keepdim=True)
    assert np.allclose(bridges.from_tensor(picture(), one_channel).scores, expected)


@pytest.mark.parametrize("call, words", [
    (lambda: bridges.from_tensor(picture(), np.ones((2, 3, 32, 32))), ["[2, 3, 32, 32]", "[1, 3"]),
    (lambda: bridges.from_tensor(picture(), np.ones((3, 16, 16))), ["[3, 16, 16]"]),
    (lambda: bridges.from_tensor(picture(), np.full((3, 32, 32), np.nan)), ["finite"]),
    (lambda: bridges.from_tensor(row(), [1., 2.]), ["[2]", "[4] or [1, 4]"]),
    (lambda: bridges.from_tensor(row(), [1.]*4, target=2), ["target is 2"]),
    (lambda: bridges.from_tensor(row(), [1.]*4, ""), ["method is ''"]),
    (lambda: bridges.to_tensor(row(), [1.]*3), ["scores"]),
    (lambda: bridges.to_tensor(xr.function(len, 4, target=0), SCORES), ["no segments"]),
    (lambda: bridges.as_module(of_a_function()), ["no gradients"]),
    (lambda: bridges.as_explain_func("mine"), ["method is 'mine'", "glime"]),
    (lambda: bridges.as_explain_func("lime", width=2.), ["option of lime is 'width'", "sigma"]),
    (lambda: bridges.as_explain_func("lime", segment=3), ["segment is 3"]),
    (lambda: bridges.as_game("instance"), ["instance is 'instance'"]),
    (lambda: bridges.from_interactions(row(), SCORES), ["InteractionValues"])])
def test_bad_input_is_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    for word in words: assert word in str(caught.value)


# captum

@pytest.mark.parametrize("make", [picture, row])
def test_attributions_of_captum_are_ours(make):
    instance = make()
    module = bridges.as_module(instance)
    x = instance.view.x[None]
    logits = instance.view.logits(x)
    assert torch.equal(module(x), logits)
    theirs = IntegratedGradients(instance.view.scores).attribute(
        x, instance.view.baseline[None], target=1, n_steps=64)
    found = bridges.from_tensor(instance, theirs, "captum", target=1)
    ours = xr.explain(instance, "integrated_gradients", target=1)
    assert np.allclose(found.scores, ours.scores, rtol=1e-3, atol=1e-6)


def test_our_scores_are_captums_tensor():
    ablation = FeatureAblation(lambda images: NETWORK(images).softmax(1))
    theirs = ablation.attribute(IMAGE[None], 0., target=1, feature_mask=TILES[None, None])
    ours = xr.explain(picture(), "occlusion", target=1)
    assert np.allclose(bridges.to_tensor(picture(), ours), theirs.detach(), atol=1e-6)


def test_an_attribution_from_elsewhere_is_measured_and_certified():
    instance = picture()
    theirs = bridges.from_tensor(instance, bridges.to_tensor(instance, SCORES), "theirs")
    metrics = ["insertion", "deletion", "soft_rate"]
    table = xr.evaluate(instance, {"theirs": theirs, "scores": SCORES}, metrics)
    assert np.allclose(table.loc["theirs"], table.loc["scores"])
    assert theirs.certify(1).target == instance.target
    with pytest.raises(ValueError, match="method is 'theirs'; allowed: lime"): theirs.check()
    assert theirs.to_frame().score.tolist() == approx(SCORES.tolist(), abs=1e-6)


# zennit

def test_relevance_of_zennit_is_an_attribution():
    """Of a network of one ReLU layer, LRP's ε-rule without biases is gradient times input."""
    attribution = pytest.importorskip("zennit.attribution")
    composites = pytest.importorskip("zennit.composites")
    instance = picture(target=1)
    module = bridges.as_module(instance)
    with attribution.Gradient(module, composites.EpsilonGammaBox(0., 1.)) as attributor:
        logits, relevance = attributor(IMAGE[None], torch.eye(3)[[1]])
    assert torch.allclose(logits, NETWORK(IMAGE[None]))
    found = bridges.from_tensor(instance, relevance, "LRP")
    segments = relevance[0].mean(0).detach()
    assert np.allclose(found.scores, [segments[TILES == s].mean() for s in range(4)], atol=1e-6)

    unbiased = xr.image(IMAGE, without_biases(), segmentation=TILES, target=1)
    rule = composites.LayerMapComposite([(nn.Conv2d | nn.Linear, _epsilon())])
    with attribution.Gradient(bridges.as_module(unbiased), rule) as attributor:
        _, relevance = attributor(IMAGE[None], unbiased.view.logits(IMAGE[None])*torch.eye(3)[[1]])
    lrp = bridges.from_tensor(unbiased, relevance, "LRP")
    assert np.allclose(lrp.scores, xr.explain(unbiased, "gradient_x_input").scores, atol=1e-5)


def _epsilon():
    from zennit.rules import Epsilon
    return Epsilon(1e-8)


def without_biases():
    network = small_network(0)
    for layer in network:
        if getattr(layer, "bias", None) is not None: nn.init.zeros_(layer.bias)
    return network


# Quantus

def test_quantus_asks_our_methods():
    quantus = pytest.importorskip("quantus")
    images = torch.stack([random_image(seed) for seed in range(2)]).numpy()
    classes = np.array([0, 2])
    explain_func = bridges.as_explain_func("occlusion")
    maps = explain_func(NETWORK, images, classes)
    assert maps.shape == (2, 1, 32, 32)
    for image, target, found in zip(images, classes, maps, strict=True):
        instance = xr.image(image, NETWORK, segmentation=TILES, removal=Constant(), target=target)
        ours = xr.explain(instance, "occlusion")
        assert np.allclose(found, bridges.to_tensor(instance, ours)[0, :1], atol=1e-6)
    settings = dict(disable_warnings=True, display_progressbar=False)
    metric = quantus.Sparseness(normalise=False, abs=True, **settings)
    asked = metric(NETWORK, images, classes, None, explain_func=explain_func)
    given = metric(NETWORK, images, classes, maps)
    assert asked == approx(given)
    gini = [gini_index(np.abs(one).ravel()) for one in maps]
    assert given == approx(gini, abs=1e-3)


def gini_index(values):
    """The Gini index of non-negative numbers."""
    ordered = np.sort(values.astype(float))
    ranks = np.arange(1, len(ordered) + 1)
    return float(((2*ranks - len(ordered) - 1)*ordered).sum()/(len(ordered)*ordered.sum()))


def test_our_metrics_measure_as_quantus_calls_them():
    quantus = pytest.importorskip("quantus")
    images = torch.stack([random_image(seed) for seed in range(2)]).numpy()
    classes = np.array([0, 2])
    maps = quantus.explain(NETWORK, images, classes, method="Saliency")
    found = bridges.as_metric("deletion")(NETWORK, images, classes, maps)
    for image, target, map_, number in zip(images, classes, maps, found, strict=True):
        instance = xr.image(image, NETWORK, segmentation=TILES, removal=Constant(), target=target)
        theirs = bridges.from_tensor(instance, map_, "Quantus")
        assert number == approx(xr.evaluate(instance, theirs, ["deletion"]).iloc[0, 0])


# shapiq

GENERATOR = np.random.default_rng(0)
TABLE = GENERATOR.random((2**5, 2))


def table_instance():
    return xr.function(lambda masks: TABLE[masks @ (1 << np.arange(5))], 5, target=1)


def moebius(masks, worth):
    """The Möbius transform of a game by its definition: mask index -> coefficient."""
    found = {}
    for i, mask in enumerate(masks):
        subsets = [j for j, other in enumerate(masks) if (other <= mask).all()]
        signs = [(-1.)**int(mask.sum() - masks[j].sum()) for j in subsets]
        found[i] = float(np.dot(signs, worth[subsets]))
    return found


def test_interactions_of_shapiq_by_their_definition():
    """Shapley values and the pairwise interaction index, from the Möbius transform."""
    shapiq = pytest.importorskip("shapiq")
    instance = table_instance()
    game = bridges.as_game(instance)
    masks = all_masks(5)
    worth = instance(masks)[:, 1].astype(float)
    assert np.allclose(game(masks), worth - worth[~masks.any(1)], atol=1e-7)
    coefficients = moebius(masks, worth)
    exact = shapiq.ExactComputer(game)
    attribution = bridges.from_interactions(instance, exact("SV"))
    shapley = [sum(c/masks[i].sum() for i, c in coefficients.items() if masks[i, player])
               for player in range(5)]
    assert np.allclose(attribution.scores, shapley, atol=1e-6)
    assert (attribution.method, attribution.target) == ("shapiq SV", 1)
    pairs = exact("SII", 2)
    for one in range(5):
        for other in range(one):
            expected = sum(c/(masks[i].sum() - 1) for i, c in coefficients.items()
                           if masks[i, one] and masks[i, other])
            assert pairs[(other, one)] == approx(expected, abs=1e-6)
    assert bridges.from_interactions(instance, pairs).details is pairs


def test_a_game_is_of_the_class_and_has_the_features_names():
    pytest.importorskip("shapiq")
    instance = table_instance()
    whole = np.ones((1, 5), bool)
    other = bridges.as_game(instance, target=0, normalize=False)
    assert other(whole) == approx(instance(whole)[:, 0], abs=1e-7)
    named = text()
    game = bridges.as_game(named, normalize=False)
    assert set(game.player_name_lookup) == set(named.feature_names)


def test_interactions_of_another_game_are_refused():
    shapiq = pytest.importorskip("shapiq")
    values = shapiq.ExactComputer(bridges.as_game(table_instance()))("SV")
    with pytest.raises(ValueError, match=r"values has 5 features .* allowed: of 4 features"):
        bridges.from_interactions(row(), values)


def test_without_shapiq_it_says_what_brings_it(monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "shapiq", None)
    bridges._game_class.cache_clear()
    with pytest.raises(ImportError, match=r"xai_repro\[interoperability\]"):
        bridges.as_game(table_instance())
