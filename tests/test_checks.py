"Bad input gets an error that names the argument, the value and what is allowed."
import numpy as np
import pytest
import torch

from xai_repro.checks import check_choice
from xai_repro.evaluate import similarity
from xai_repro.explain import distributions, lfa, surrogates
from xai_repro.inputs import removal, segmentation
from xai_repro.inputs.image import MaskedModel
from xai_repro.value import MaskFunction

IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
SEGMENTS = segmentation.grid(IMAGE, 4)
ALL_PRESENT = np.ones((1, 16), bool)


def predict(images):
    return images.mean((2, 3)).softmax(1)


def predict_nan(images):
    return images.mean((2, 3))*torch.nan


def predict_one_number(images):
    return images.mean()


def counts(masks):
    present = masks.sum(1)
    return np.stack([present, -present], 1).astype(float)


def nan_at_the_whole(masks):
    return np.where(masks.all(1), np.nan, 1.)


VALUE = MaskFunction(counts, 6)
MODEL = MaskedModel(predict, IMAGE, SEGMENTS)


def check_refused(call, error, words):
    with pytest.raises(error) as caught: call()
    message = str(caught.value)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("image, error, words", [
    ((IMAGE*255).byte(), TypeError, ["image", "uint8", "[0, 1]"]),
    (IMAGE*2, ValueError, ["image", "[0, 1]"]),
    (IMAGE - .5, ValueError, ["image", "[0, 1]"]),
    (torch.where(IMAGE > .5, torch.nan, IMAGE), ValueError, ["image", "NaN"]),
    (IMAGE[:0], ValueError, ["image", "[0, 16, 16]", "[C, H, W]"]),
    (IMAGE.permute(1, 2, 0), ValueError, ["image", "channel first"]),
])
def test_what_is_no_image_is_refused(image, error, words):
    check_refused(lambda: MaskedModel(predict, image, SEGMENTS), error, words)


@pytest.mark.parametrize("call, error, words", [
    (
        lambda: MaskedModel(predict, IMAGE, SEGMENTS + 1),
        ValueError, ["segments", "from 1", "0..d-1", "relabel"],
    ),
    (lambda: MaskedModel(predict, IMAGE, SEGMENTS*2), ValueError, ["segments", "without a gap"]),
    (
        lambda: MaskedModel(predict, IMAGE, SEGMENTS[:8]),
        ValueError, ["segments", "[8, 16]", "[16, 16]"],
    ),
    (lambda: MaskedModel(predict, IMAGE, SEGMENTS.float()), TypeError, ["segments", "float32"]),
])
def test_segments_that_are_not_some_are_refused(call, error, words):
    check_refused(call, error, words)


@pytest.mark.parametrize("call, error, words", [
    (lambda: MODEL(np.ones((2, 16))), TypeError, ["masks", "float64", "bool"]),
    (lambda: MODEL(np.ones((2, 5), bool)), ValueError, ["masks", "(2, 5)", "(n, 16)"]),
    (lambda: MODEL(np.ones((0, 16), bool)), ValueError, ["masks", "0 rows"]),
    (lambda: MODEL.add(np.ones((2, 5))), ValueError, ["noise", "(2, 5)", "(n, 16)"]),
    (lambda: MODEL.add(np.full((2, 16), np.nan)), ValueError, ["noise", "NaN"]),
    (lambda: MaskedModel(predict, IMAGE, SEGMENTS, batch_size=0), ValueError, ["batch_size", "0"]),
    (
        lambda: MaskedModel(predict_nan, IMAGE, SEGMENTS)(ALL_PRESENT),
        ValueError, ["predict", "NaN"],
    ),
    (
        lambda: MaskedModel(predict_one_number, IMAGE, SEGMENTS)(ALL_PRESENT),
        ValueError, ["predict", "[1, K]"],
    ),
])
def test_masks_and_noise_that_do_not_fit_are_refused(call, error, words):
    check_refused(call, error, words)


@pytest.mark.parametrize("call, error, words", [
    (lambda: segmentation.grid(IMAGE, 0), ValueError, ["patch", "0"]),
    (lambda: segmentation.slic(IMAGE, 0), ValueError, ["n_segments", "0"]),
    (lambda: segmentation.quickshift(IMAGE, kernel_size=-1), ValueError, ["kernel_size", "-1"]),
    (lambda: removal.Constant((1, 2, 3)), ValueError, ["rgb", "[0, 1]"]),
    (lambda: removal.Blur(0), ValueError, ["sigma", "0"]),
])
def test_features_and_removals_that_cannot_be_made_are_refused(call, error, words):
    check_refused(call, error, words)


@pytest.mark.parametrize("call, error, words", [
    (lambda: lfa.lime(VALUE, 2), ValueError, ["target", "2", "from 0 to 1"]),
    (lambda: lfa.lime(VALUE, -1), ValueError, ["target", "-1"]),
    (lambda: lfa.lime(VALUE, 0, sigma=0), ValueError, ["sigma", "0"]),
    (lambda: lfa.glime(VALUE, 0, sigma=-1.), ValueError, ["sigma", "-1"]),
    (lambda: lfa.glime(VALUE, 0, sigma=float("nan")), ValueError, ["sigma", "nan"]),
    (lambda: lfa.lime(VALUE, 0, n_samples=1), ValueError, ["n_samples", "1", "at least 2"]),
    (lambda: lfa.lime(VALUE, 0, n_samples=10.5), ValueError, ["n_samples", "10.5"]),
    (lambda: lfa.lime(VALUE, 0, alpha=-1), ValueError, ["alpha", "-1"]),
    (
        lambda: lfa.lime(VALUE, 0, kernel="gaussian"),
        ValueError, ["kernel", "gaussian", "paper, official"],
    ),
    (lambda: lfa.lime(VALUE, 0, seed=-1), ValueError, ["seed", "-1"]),
    (
        lambda: lfa.glime(VALUE, 0, distribution="normal"),
        ValueError, ["distribution", "normal", "binomial, gauss, laplace, uniform"],
    ),
    (lambda: lfa.glime(VALUE, 0, distribution="gauss"), TypeError, ["value", "no add", "gauss"]),
    (
        lambda: lfa.glime(VALUE, 0, distribution="gauss", exclude_full=True),
        ValueError, ["exclude_full", "binomial"],
    ),
    (
        lambda: lfa.glime(MODEL, 0, distribution="gauss", noise_scale=0),
        ValueError, ["noise_scale", "0"],
    ),
    (lambda: lfa.lime(lambda m: m, 0), TypeError, ["value", "n_features"]),
    (lambda: lfa.lime(MaskFunction(nan_at_the_whole, 3), 0), ValueError, ["value", "NaN"]),
    (lambda: distributions.all_masks(30), ValueError, ["d", "30", "from 1 to 20"]),
    (lambda: distributions.shapley().sample(4, 1, 0), ValueError, ["d", "1", "at least 2"]),
])
def test_explanations_that_cannot_be_computed_are_refused(call, error, words):
    check_refused(call, error, words)


@pytest.mark.parametrize("call, error, words", [
    (lambda: surrogates.ridge(np.ones((4, 2)), np.ones(3)), ValueError, ["Z", "y", "(4, 2)"]),
    (lambda: surrogates.ridge(np.ones((4, 2)), np.full(4, np.inf)), ValueError, ["y", "infinite"]),
    (lambda: similarity.jaccard([1, 2], [1, 2, 3], 1), ValueError, ["b", "(3,)", "(2,)"]),
    (lambda: similarity.jaccard([1, 2], [1, 2], 0), ValueError, ["k", "0", "from 1 to 2"]),
    (lambda: similarity.jaccard([1, 2], [1, np.nan], 1), ValueError, ["b", "NaN"]),
    (
        lambda: similarity.jaccard([1, 2], [1, 2], 1, by="abs"),
        ValueError, ["by", "abs", "signed, absolute"],
    ),
    (lambda: similarity.jaccard_by_chance(5, 6), ValueError, ["k", "6", "from 1 to 5"]),
    (lambda: similarity.over_pairs([[1, 2]], similarity.mse), ValueError, ["weights", "s >= 2"]),
    (lambda: similarity.spearman([1, 1], [1, 2]), ValueError, ["a", "constant"]),
])
def test_weights_and_samples_that_do_not_fit_are_refused(call, error, words):
    check_refused(call, error, words)


@pytest.mark.parametrize("value, closest", [
    ("glime_stabilty", "glime_stability"), ("Lime", "lime"), ("glime-stability", "glime_stability"),
    ("another", ""), ("", ""), ("lime"*1000, ""), (3, ""), (None, "")])
def test_a_misspelt_choice_is_answered_with_what_it_is_close_to(value, closest):
    with pytest.raises(ValueError) as error:
        check_choice("method", value, ["glime_stability", "lime", "saliency"])
    listed = "; allowed: glime_stability, lime, saliency"
    assert str(error.value).endswith(f"{listed}; did you mean {closest!r}?" if closest else listed)
