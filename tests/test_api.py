"""The front of the library: what users write, on every kind of input."""
from copy import deepcopy
from dataclasses import replace
from functools import partial
from math import factorial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pytest import approx
from small_inputs import BACKGROUND, BOTH, LOW, ROW, curved, whole
from small_models import random_image, small_classifier, small_network
from scipy.special import expit
from torch import nn

import xai_repro as xr
from xai_repro.evaluate.certificates import soft_stability
from xai_repro.explain.attribution import select_top
from xai_repro.explain.distributions import all_masks
from xai_repro.inputs.image import as_classifier, as_image
from xai_repro.inputs.removal import Blur, Constant
from xai_repro.inputs.segmentation import grid, slico
from xai_repro.inputs.tabular import MaskedRow

IMAGE = random_image()
TILES = grid(IMAGE, 16)      # 4 squares
MODEL = small_classifier()


# images

def as_bytes(image):
    """An image as uint8 [H, W, 3]."""
    return (image*255).round().byte().permute(1, 2, 0).numpy()


BYTES = as_bytes(IMAGE)
PICTURE = Image.fromarray(BYTES)
ROUNDED = torch.tensor(BYTES).permute(2, 0, 1)/255
FORMS = {
    "tensor": ROUNDED,
    "array": ROUNDED.numpy(),
    "double": ROUNDED.double(),
    "uint8": BYTES,
    "tensor of uint8": torch.tensor(BYTES),
    "PIL": PICTURE,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_image_in_any_form(form):
    pixels = as_image(form)
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels, ROUNDED, atol=1e-7)
    instance = xr.image(form, MODEL, segmentation=TILES)
    direct = xr.image(ROUNDED, MODEL, segmentation=TILES)
    scores = instance(all_masks(4))
    assert np.allclose(scores, direct(all_masks(4)), atol=1e-6)


@pytest.mark.parametrize("as_path", [str, lambda path: path], ids=["text", "Path"])
def test_an_image_by_its_path(tmp_path, as_path):
    path = tmp_path/"photo.png"
    PICTURE.save(path)
    pixels = as_image(as_path(path))
    assert torch.equal(pixels, ROUNDED)


def test_a_picture_in_grey_has_three_channels():
    grey = PICTURE.convert("L")
    pixels = as_image(grey)
    assert pixels.shape == (3, 32, 32)
    assert torch.equal(pixels[0], pixels[2])


def test_an_image_that_is_given_is_not_written_over():
    image = IMAGE.clone()
    instance = xr.image(image, MODEL, segmentation=TILES, removal=Blur(2.))
    xr.explain(instance, "occlusion")
    assert torch.equal(image, IMAGE)


@pytest.mark.parametrize("image, error, words", [
    (IMAGE*255, ValueError, r"image ranges from 0\.\d+ to 25\d\.?\d*; allowed: \[0, 1\]"),
    (IMAGE.permute(1, 2, 0), ValueError, r"image has shape \[32, 32, 3\]; allowed: \[3, H, W\]"),
    (IMAGE[None], ValueError, r"image has shape \[1, 3, 32, 32\]"),
    ((IMAGE*255).byte(), ValueError, r"image has shape .*; allowed of uint8: \[H, W, 3\]"),
    ((IMAGE*255).long(), TypeError, "image has dtype torch.int64"),
    (IMAGE*torch.nan, ValueError, "image holds NaN")])
def test_another_image_is_refused(image, error, words):
    with pytest.raises(error, match=words):
        xr.image(image, MODEL, segmentation=TILES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        xr.image(tmp_path/"none.png", MODEL)


# models of images

def brightness(images): return images.mean((2, 3))


def test_a_model_by_its_name(photographs, lite):
    photo = photographs["coffee"]
    tiles = grid(photo, 112)
    instance = xr.image(photo, "efficientnet_lite0", segmentation=tiles)
    assert instance.class_names[instance.target] == "espresso"
    direct = xr.image(photo, lite, segmentation=tiles)
    assert direct.identity == instance.identity
    scores = instance(whole(4))
    assert np.allclose(scores, direct(whole(4)), atol=1e-5)


def test_a_function_is_asked_as_it_is():
    instance = xr.image(IMAGE, brightness, segmentation=TILES, removal=Constant())
    scores = instance(whole(4))
    expected = IMAGE.mean((1, 2))
    assert np.allclose(scores, expected, atol=1e-6)
    assert instance.target == int(expected.argmax())
    with pytest.raises(ValueError, match="has no gradients"):
        xr.explain(instance, "saliency")


def test_a_module_of_several_logits_gives_their_softmax_and_gradients():
    network = small_network(3)
    instance = xr.image(IMAGE, network, segmentation=TILES)
    with torch.no_grad():
        expected = network(IMAGE[None]).softmax(1)
    assert np.allclose(instance(whole(4)), expected, atol=1e-6)
    attribution = xr.explain(instance, "vanilla_gradients", target=2)
    x = IMAGE[None].clone().requires_grad_()
    logit = network(x)[0, 2]
    logit.backward()
    pooled = instance.view.pool(x.grad[0])
    assert np.allclose(attribution.scores, pooled, atol=1e-7)


def test_a_module_of_one_logit_is_a_classifier_of_two():
    network = small_network(3, n_classes=1)
    instance = xr.image(IMAGE, network, segmentation=TILES)
    with torch.no_grad():
        logit, = network(IMAGE[None])
    p = float(logit.sigmoid())
    scores = instance(whole(4))
    assert np.allclose(scores, [[1 - p, p]], atol=1e-6)
    assert instance.target == int(p > .5)


class Dropping(nn.Module):
    """A network that differs between training and evaluation, with a frozen part."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.BatchNorm2d(3).eval()
        self.dropped = nn.Dropout(.5)
        self.rest = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images):
        normalised = self.frozen(images)
        return self.rest(self.dropped(normalised))


def test_a_module_is_asked_in_evaluation_mode_and_left_as_it_was():
    network = Dropping()
    state = deepcopy(network.state_dict())
    instance = xr.image(IMAGE, network, segmentation=TILES)
    first = xr.explain(instance, "occlusion").scores
    again = xr.explain(instance.fresh(), "occlusion").scores
    assert np.array_equal(first, again), "nothing is dropped"
    xr.explain(instance, "saliency")
    assert network.training
    assert network.dropped.training
    assert not network.frozen.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])


class Outputs:
    """What a model of transformers returns."""

    def __init__(self, logits):
        self.logits = logits


class Hub(nn.Module):
    """A network with the interface of transformers."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images): return Outputs(self.network(images))


def test_a_module_of_transformers_gives_its_logits():
    network = small_network(3)
    ours = xr.image(IMAGE, Hub(network), segmentation=TILES)
    direct = xr.image(IMAGE, network, segmentation=TILES)
    scores = ours(all_masks(4))
    assert np.array_equal(scores, direct(all_masks(4)))


@pytest.mark.parametrize("model, error, words", [
    (3, TypeError, "model is 3; allowed: a name, a torch module, a function of images"),
    ("resnet", ValueError, "name is 'resnet'; allowed"),
    (nn.Identity(), ValueError, r"model returned shape .*; allowed: \[1, K\]"),
    (lambda images: images.mean((1, 2, 3)), ValueError, r"predict returned shape \[1\]"),
    (lambda images: brightness(images)*torch.nan, ValueError, "predict returned NaN")])
def test_another_model_is_refused(model, error, words):
    with pytest.raises(error, match=words):
        xr.image(IMAGE, model, segmentation=TILES)


def test_a_classifier_stays_what_it_is():
    assert as_classifier(MODEL) is MODEL


# segments of images

@pytest.mark.parametrize("segmentation, expected", [
    ("grid", grid(IMAGE, 16)), (TILES, TILES), (TILES.numpy(), TILES),
    (lambda image: slico(image, 9), slico(IMAGE, 9))], ids=["name", "labels", "array", "function"])
def test_segments_by_name_by_a_function_or_as_they_are(segmentation, expected):
    instance = xr.image(IMAGE, MODEL, segmentation=segmentation)
    assert torch.equal(instance.segments, expected)


@pytest.mark.parametrize("name", ["quickshift", "slic", "slico", "grid"])
def test_every_named_segmentation_has_several_segments(name, photographs):
    instance = xr.image(photographs["coffee"], brightness, segmentation=name)
    assert instance.d > 10


@pytest.mark.parametrize("segmentation, error, words", [
    ("voronoi", ValueError, "segmentation is 'voronoi'; allowed: quickshift, slic, slico, grid"),
    (TILES[:16], ValueError, "segments has shape"),
    (TILES + 1, ValueError, "segments has 4 labels from 1 to 4"),
    (TILES.float(), TypeError, "segments has dtype float32")])
def test_other_segments_are_refused(segmentation, error, words):
    with pytest.raises(error, match=words):
        xr.image(IMAGE, MODEL, segmentation=segmentation)


@pytest.mark.parametrize("target", [-1, 1.5, "a"])
def test_another_target_is_refused(target):
    with pytest.raises(ValueError, match="target is"):
        xr.image(IMAGE, MODEL, segmentation=TILES, target=target)


# texts

def count_words(texts):
    """Probabilities of praise, by words."""
    balance = []
    for text in texts:
        words = text.split()
        balance.append(words.count("good") - words.count("bad"))
    p = expit(np.array(balance))
    return np.stack([1 - p, p], 1)


def test_words_of_a_function():
    instance = xr.text("a good film , not bad", count_words)
    assert instance.feature_names == ("a", "good", "film", ",", "not", "bad")
    scores = xr.explain(instance, "occlusion", target=1).scores
    assert scores.argmax() == 1
    assert scores.argmin() == 5


def test_tokens_of_a_named_classifier():
    instance = xr.text("a wonderful film", "zero_shot")
    assert instance.feature_names[0] == "[CLS]"
    assert instance.d == len(instance.feature_names) == 5
    scores = xr.explain(instance, "occlusion").scores
    best = 1 + scores[1:-1].argmax()
    assert instance.feature_names[best] == "wonderful"
    by_gradients = xr.explain(instance, "gradient_x_input")
    assert by_gradients.d == 5


@pytest.mark.parametrize("text, options, words", [
    ("", {}, "text is ''; allowed: a text with a word in it"),
    ("  ", {}, "text is '  '"),
    (3, {}, "text is 3"),
    ("a film", dict(removal="drop"), "removal is 'drop'; allowed: attention, mask_token"),
    ("a film", dict(target=2), "target is 2")])
def test_another_text_is_refused(text, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        xr.explain(xr.text(text, count_words, **options), "occlusion")


# tables

def interventional(mask, background):
    """The mean of f over the background, the present columns set to the row's."""
    scores = []
    for other in background:
        mixed = other.copy()
        mixed[mask] = ROW[mask]
        scores.append(curved(mixed[None]))
    return np.mean(scores)


def shapley(v, d):
    """Shapley values by enumeration of a function of masks."""
    values = np.zeros(d)
    for mask in all_masks(d):
        k = int(mask.sum())
        for i in np.flatnonzero(~mask):
            orders = factorial(k)*factorial(d - k - 1)
            with_i = mask.copy()
            with_i[i] = True
            gain = v(with_i) - v(mask)
            values[i] += gain*orders/factorial(d)
    return values


@pytest.mark.parametrize("background, rows", [
    (None, [np.zeros(3)]), (2., [np.full(3, 2.)]), (BACKGROUND[2], BACKGROUND[2:3]),
    (BACKGROUND, BACKGROUND), (pd.DataFrame(BACKGROUND), BACKGROUND),
    (torch.tensor(BACKGROUND), BACKGROUND)],
    ids=["0", "number", "row", "rows", "frame", "tensor"])
def test_the_interventional_value_and_its_shapley_values(background, rows):
    instance = xr.tabular(ROW, curved, background=background)
    expected = [interventional(mask, rows) for mask in all_masks(3)]
    scores = instance.of_class(all_masks(3), 0)
    assert np.allclose(scores, expected)
    attribution = xr.explain(instance, "kernel_shap", sampling="exhaustive")
    exact = shapley(partial(interventional, background=rows), 3)
    assert np.allclose(attribution.scores, exact, atol=1e-8)


@pytest.mark.parametrize("row", [
    ROW, ROW.tolist(), torch.tensor(ROW), pd.Series(ROW, index=["a", "b", "c"])])
def test_a_row_in_any_form(row):
    instance = xr.tabular(row, curved)
    direct = MaskedRow(curved, ROW)
    assert np.array_equal(instance(all_masks(3)), direct(all_masks(3)))


def test_a_module_of_rows_has_gradients_of_its_scores():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)]
    network = nn.Sequential(*layers).double()
    instance = xr.tabular(ROW, network, background=BACKGROUND, target=1)
    attribution = xr.explain(instance, "integrated_gradients", 200)
    ends = np.stack([ROW, BACKGROUND.mean(0)])
    with torch.no_grad():
        after, before = network(torch.tensor(ends))[:, 1]
    change = float(after - before)
    assert attribution.scores.sum() == approx(change, abs=1e-8)


@pytest.mark.parametrize("row, background, words", [
    (ROW[None], None, r"row has shape \(1, 3\)"),
    ([1., np.nan, 2.], None, "row holds 1 values that are NaN"),
    (ROW, [1., 2.], r"background has shape \(2,\)"),
    (ROW, np.zeros((0, 3)), r"background has shape \(0, 3\)"),
    (ROW, np.nan, r"background has shape \(\); allowed: a finite number")])
def test_another_row_is_refused(row, background, words):
    with pytest.raises(ValueError, match=words):
        xr.tabular(row, curved, background=background)


# sounds

def loud_or_quiet(waveforms):
    power = (waveforms**2).mean(1)
    p = (6*power).clamp(0, 1)
    return torch.stack([p, 1 - p], 1)


def test_cells_of_a_sound():
    instance = xr.audio(BOTH, loud_or_quiet, cells=(2, 2), target=0)
    scores = xr.explain(instance, "occlusion").scores
    low, high = scores.reshape(2, 2).T
    assert (low > high).all(), "the low tone is the louder one"
    assert instance.feature_names[3] == "time 1, band 1"


@pytest.mark.parametrize("waveform, cells, words", [
    (LOW*9, (2, 2), "waveform has shape"),
    (LOW[None], (2, 2), r"waveform has shape \(1, 4000\)"),
    (LOW, (0, 2), r"cells\[0\] is 0"),
    (LOW, (2, 500), r"cells\[1\] is 500; allowed: a whole number from 1 to 201")])
def test_another_sound_is_refused(waveform, cells, words):
    with pytest.raises(ValueError, match=words):
        xr.audio(waveform, loud_or_quiet, cells=cells)


# functions

def test_a_function_of_masks():
    instance = xr.function(lambda masks: masks[:, :2].all(1), 4)
    assert (instance.d, instance.target) == (4, 0)
    attribution = xr.explain(instance, "occlusion")
    assert attribution.scores.tolist() == [1, 1, 0, 0]
    for n in (0, 2.5):
        with pytest.raises(ValueError, match=f"n_features is {n}"):
            xr.function(curved, n)


# certificates

def either(masks):
    y = masks[:, :2].any(1)
    return np.stack([y, ~y], 1).astype(float)


EITHER = xr.function(either, 8, target=0)


def test_a_certificate_of_an_attribution_of_scores_or_of_a_mask():
    attribution = xr.explain(EITHER, "occlusion", seed=0)
    mask = select_top(attribution.scores, .25)
    direct = soft_stability(EITHER, mask, 3, seed=5)
    for selection in (attribution, attribution.scores, attribution.scores.tolist(), mask):
        assert xr.certify(EITHER, selection, 3, seed=5).rate == direct.rate
    half = xr.certify(EITHER, attribution, 2, share=.5)
    assert half.radius == 2


def test_the_certificate_of_a_conjunction_by_hand():
    """Neither of two features is selected: the class changes when one of them is added."""
    nothing = np.zeros(8, bool)
    certificate = xr.certify(EITHER, nothing, 1, eps=.02, target=1)
    assert certificate.rate == approx(1 - 2/9, abs=.02)     # or nothing is added
    assert (certificate.prediction, certificate.predicts_target) == (1, True)
    assert str(certificate).startswith("Of the selection and at most 1 more features, ")


def test_a_selection_that_predicts_another_class_is_said_first():
    """The explained class is 0; of nothing and one of eight features two of nine predict it."""
    nothing = np.zeros(8, bool)
    certificate = xr.certify(EITHER, nothing, 1, eps=.02)
    assert certificate.rate == approx(2/9, abs=.02)
    assert (certificate.target, certificate.prediction) == (0, 1)
    assert not certificate.predicts_target
    words = "The selection alone predicts class 1, not the explained class 0."
    for shown in (str(certificate), repr(certificate)): assert shown.startswith(words)
    assert certificate._repr_html_().startswith(f"<p><strong>{words}")


def test_the_target_is_the_attributions_then_the_instances():
    of_one = xr.explain(EITHER, "occlusion", target=1)
    assert (EITHER.target, xr.certify(EITHER, of_one, 1).target) == (0, 1)
    assert of_one.certify(1).target == 1
    assert xr.certify(EITHER, of_one.scores, 1).target == 0
    assert of_one.certify(1, target=0) == xr.certify(EITHER, of_one, 1, target=0)
    with pytest.raises(ValueError, match="target is 2; allowed: a whole number from 0 to 1"):
        xr.certify(EITHER, of_one, 1, target=2)


@pytest.mark.parametrize("selection, radius, words", [
    (np.eye(8, dtype=bool)[0], 8, "radius is 8; allowed: a whole number from 0 to 7"),
    (np.eye(8, dtype=bool)[0], -1, "radius is -1"),
    (np.ones(7, bool), 1, r"alpha has shape \(7,\)"),
    (np.full(8, np.nan), 1, "scores holds 8 values that are NaN")])
def test_another_selection_is_refused(selection, radius, words):
    with pytest.raises(ValueError, match=words):
        xr.certify(EITHER, selection, radius)


def test_zeros_and_ones_may_be_a_mask_or_scores_and_are_refused():
    for selection in ([1, 0, 0, 0, 0, 0, 0, 0], np.eye(8, dtype=np.uint8)[0]):
        with pytest.raises(TypeError, match=r"selection holds only 0 and 1 .*astype\(bool\)"):
            xr.certify(EITHER, selection, 1)
    as_scores = xr.certify(EITHER, np.arange(8), 1)
    assert as_scores.radius == 1


def test_another_share_or_option_is_refused_whatever_is_selected():
    mask = np.eye(8, dtype=bool)[0]
    with pytest.raises(ValueError, match="share is 'junk'"):
        xr.certify(EITHER, mask, 1, share="junk")
    with pytest.raises(ValueError, match=r"option of certify is 'epsilon'; allowed: eps, delta"):
        xr.certify(EITHER, mask, 1, epsilon=.1)


# several labels, one logit

def labels_network(n_labels: int) -> nn.Module:
    """A network whose decisions change with what is shown."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(12, n_labels))
    with torch.no_grad(): network[2].weight *= 8
    return network


FIRST_TILE = np.array([True, False, False, False])
ABOVE_IT = all_masks(4)[all_masks(4)[:, 0]]      # Δ_3 of the first tile


@pytest.mark.parametrize("output, n_labels", [("sigmoid", 3), ("sigmoid", 1), (None, 1)])
@pytest.mark.parametrize("threshold", [None, .3])
def test_labels_are_decided_by_a_threshold(output, n_labels, threshold):
    """Half of a sigmoid by default; undeclared, one logit is that of two classes."""
    made = xr.image(
        IMAGE, labels_network(n_labels), segmentation=TILES, output=output,
        removal=Constant())
    for target in range(made(ABOVE_IT).shape[1]):
        certificate = xr.certify(
            made, FIRST_TILE, 3, eps=.03, target=target, threshold=threshold)
        scores = made(ABOVE_IT)[:, target]
        assert certificate.rate == approx((scores >= (threshold or .5)).mean(), abs=.03)
        alone = made(FIRST_TILE[None])[0, target] >= (threshold or .5)
        assert certificate.predicts_target == alone
        if output: assert certificate.threshold == (threshold or .5)


def test_one_logit_of_a_classifier_has_a_threshold_of_one_half():
    """Of nothing that is declared, where its score is one column."""
    classifier = replace(small_classifier(), network=labels_network(1), class_names=["there"])
    instance = xr.image(IMAGE, classifier, segmentation=TILES, removal=Constant())
    assert instance(FIRST_TILE[None]).shape == (1, 1)
    assert instance.threshold is None
    certificate = xr.certify(instance, FIRST_TILE, 3, eps=.03)
    assert certificate.threshold == .5
    assert certificate.rate == approx((instance(ABOVE_IT)[:, 0] >= .5).mean(), abs=.03)
    if not certificate.predicts_target:
        assert str(certificate).startswith("The selection alone does not predict the explained "
                                           "class 0 (there): its score is below 0.5.")


def test_a_regression_of_images_needs_a_threshold():
    instance = xr.image(IMAGE, labels_network(1), segmentation=TILES, output="identity")
    with pytest.raises(ValueError, match="of a regression the value"):
        xr.certify(instance, FIRST_TILE, 1)


def test_a_classifiers_own_threshold_goes_with_its_instances():
    class Careful:
        threshold = .8

        def predict(self, images): return labels_network(3)(images).sigmoid().detach()

    instance = xr.image(IMAGE, Careful(), segmentation=TILES)
    assert instance.threshold == .8
    assert instance.resegment(TILES).threshold == .8
    assert instance.explained_as(1).threshold == .8
    Careful.threshold = "high"
    with pytest.raises(ValueError, match="threshold is 'high'"):
        xr.image(IMAGE, Careful(), segmentation=TILES)


# from the input to the certificate

def sums(rows): return rows.sum(1)


def two_by_rows(rows):
    p = expit(curved(rows)/4 - 1)
    return np.stack([p, 1 - p], 1)


def image(): return xr.image(IMAGE, MODEL, segmentation=TILES)


def text(): return xr.text("a good film , not bad", count_words)


def tabular(): return xr.tabular(ROW, two_by_rows, background=BACKGROUND)


def audio(): return xr.audio(BOTH, loud_or_quiet, cells=(2, 3))


def function(): return xr.function(either, 8)


KINDS = [image, text, tabular, audio, function]


@pytest.mark.parametrize("make", KINDS)
def test_explained_evaluated_and_certified(make):
    instance = make()
    assert isinstance(instance, xr.Instance)
    attributions = {}
    for method in ("occlusion", "lime", "lima"):
        options = dict(sigma=2.) if method == "lime" else {}
        attributions[method] = xr.explain(instance, method, **options)
        assert isinstance(attributions[method], xr.Attribution)
        assert attributions[method].d == instance.d
    table = xr.evaluate(instance, attributions)
    assert table.index.tolist() == ["occlusion", "lime", "lima"]
    assert np.isfinite(table.to_numpy()).all()
    assert {"insertion", "deletion", "soft_rate", "hard_radius"} <= set(table.columns)
    best = attributions["occlusion"].ranking()[0]
    selection = np.arange(instance.d) == best
    certificate = xr.certify(instance, selection, radius=1)
    low, high = certificate.interval
    assert 0 <= low <= certificate.rate <= high <= 1


def test_a_regression_is_explained_and_evaluated_by_what_applies():
    instance = xr.tabular(ROW, sums)
    table = xr.evaluate(instance, xr.explain(instance, "occlusion"))
    assert np.isfinite(table.to_numpy()).all()
    first = np.array([True, False, False])
    with pytest.raises(ValueError, match=r"K >= 2 classes .* or a threshold, as threshold=0.5"):
        xr.certify(instance, first, 1)
    masks = np.array([[True, False, False], [True, True, False], [True, False, True]])
    reached = float((instance(masks)[:, 0] >= 1.).mean())
    certificate = xr.certify(instance, first, 1, eps=.02, threshold=1.)
    assert certificate.rate == approx(reached, abs=.02)
    assert certificate.predicts_target == (instance(masks[:1])[0, 0] >= 1)


@pytest.mark.parametrize("make", KINDS)
def test_the_same_input_gets_the_same_explanation(make):
    first = xr.explain(make(), "glime", 200, 3, sigma=1.)
    second = xr.explain(make(), "glime", 200, 3, sigma=1.)
    assert np.array_equal(first.scores, second.scores)


def test_answers_are_read_back_from_the_cache(tmp_path):
    cache = xr.Cache(tmp_path)
    attributions = []
    n_passes = []
    for _ in range(2):
        instance = xr.image(IMAGE, MODEL, segmentation=TILES, cache=cache)
        attributions.append(xr.explain(instance, "occlusion"))
        n_passes.append(instance.n_passes)
    first, second = attributions
    assert np.array_equal(first.scores, second.scores)
    assert first.n_queries == second.n_queries
    assert n_passes == [5, 0]


def test_the_public_names():
    assert set(xr.__all__) <= set(dir(xr))
    for name in xr.__all__: assert getattr(xr, name) is not None
    assert callable(xr.explain)
    assert callable(xr.evaluate)
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        xr.explian     # noqa: B018
