"Bad input gets an error that names the argument, the value and what is allowed."
import numpy as np
import pytest
import torch

from xai_repro.evaluate import similarity
from xai_repro.explain import lfa, distributions as neighborhoods, surrogates
from xai_repro.inputs import segmentation as features, removal
from xai_repro.value import MaskFunction
from xai_repro.inputs.image import MaskedModel

IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
SEGMENTS = features.grid(IMAGE, 4)
PREDICT = lambda x: x.mean((2, 3)).softmax(1)
VALUE = MaskFunction(lambda m: np.stack([m.sum(1), -m.sum(1)], 1).astype(float), 6)
MODEL = MaskedModel(PREDICT, IMAGE, SEGMENTS)


def bad(image): return lambda: MaskedModel(PREDICT, image, SEGMENTS)


@pytest.mark.parametrize("call, error, words", [
    # images
    (bad((IMAGE*255).byte()), TypeError, ["image", "uint8", "[0, 1]"]),
    (bad(IMAGE*2), ValueError, ["image", "[0, 1]"]),
    (bad(IMAGE - .5), ValueError, ["image", "[0, 1]"]),
    (bad(torch.where(IMAGE > .5, torch.nan, IMAGE)), ValueError, ["image", "NaN"]),
    (bad(IMAGE[:1]), ValueError, ["image", "[1, 16, 16]", "[3, H, W]"]),
    (bad(IMAGE.permute(1, 2, 0)), ValueError, ["image", "channel first"]),
    # segments
    (lambda: MaskedModel(PREDICT, IMAGE, SEGMENTS + 1), ValueError, ["segments", "from 1", "0..d-1", "relabel"]),
    (lambda: MaskedModel(PREDICT, IMAGE, SEGMENTS*2), ValueError, ["segments", "without a gap"]),
    (lambda: MaskedModel(PREDICT, IMAGE, SEGMENTS[:8]), ValueError, ["segments", "[8, 16]", "[16, 16]"]),
    (lambda: MaskedModel(PREDICT, IMAGE, SEGMENTS.float()), TypeError, ["segments", "float32"]),
    # masks and noise
    (lambda: MODEL(np.ones((2, 16))), TypeError, ["masks", "float64", "bool"]),
    (lambda: MODEL(np.ones((2, 5), bool)), ValueError, ["masks", "(2, 5)", "(n, 16)"]),
    (lambda: MODEL(np.ones((0, 16), bool)), ValueError, ["masks", "0 rows"]),
    (lambda: MODEL.add(np.ones((2, 5))), ValueError, ["noise", "(2, 5)", "(n, 16)"]),
    (lambda: MODEL.add(np.full((2, 16), np.nan)), ValueError, ["noise", "NaN"]),
    (lambda: MaskedModel(PREDICT, IMAGE, SEGMENTS, batch_size=0), ValueError, ["batch_size", "0"]),
    (lambda: MaskedModel(lambda x: x.mean((2, 3))*torch.nan, IMAGE, SEGMENTS)(np.ones((1, 16), bool)), ValueError, ["predict", "NaN"]),
    (lambda: MaskedModel(lambda x: x.mean(), IMAGE, SEGMENTS)(np.ones((1, 16), bool)), ValueError, ["predict", "[1, K]"]),
    # features and removals
    (lambda: features.grid(IMAGE, 0), ValueError, ["patch", "0"]),
    (lambda: features.slic(IMAGE, 0), ValueError, ["n_segments", "0"]),
    (lambda: features.quickshift(IMAGE, kernel_size=-1), ValueError, ["kernel_size", "-1"]),
    (lambda: removal.Constant((1, 2, 3)), ValueError, ["rgb", "[0, 1]"]),
    (lambda: removal.Blur(0), ValueError, ["sigma", "0"]),
    # explanations
    (lambda: lfa.lime(VALUE, 2), ValueError, ["target", "2", "from 0 to 1"]),
    (lambda: lfa.lime(VALUE, -1), ValueError, ["target", "-1"]),
    (lambda: lfa.lime(VALUE, 0, sigma=0), ValueError, ["sigma", "0"]),
    (lambda: lfa.glime(VALUE, 0, sigma=-1.), ValueError, ["sigma", "-1"]),
    (lambda: lfa.glime(VALUE, 0, sigma=float("nan")), ValueError, ["sigma", "nan"]),
    (lambda: lfa.lime(VALUE, 0, n_samples=1), ValueError, ["n_samples", "1", "at least 2"]),
    (lambda: lfa.lime(VALUE, 0, n_samples=10.5), ValueError, ["n_samples", "10.5"]),
    (lambda: lfa.lime(VALUE, 0, alpha=-1), ValueError, ["alpha", "-1"]),
    (lambda: lfa.lime(VALUE, 0, kernel="gaussian"), ValueError, ["kernel", "gaussian", "paper, official"]),
    (lambda: lfa.lime(VALUE, 0, seed=-1), ValueError, ["seed", "-1"]),
    (lambda: lfa.glime(VALUE, 0, distribution="normal"), ValueError, ["distribution", "normal", "binomial, gauss, laplace, uniform"]),
    (lambda: lfa.glime(VALUE, 0, distribution="gauss"), TypeError, ["value", "no add", "gauss"]),
    (lambda: lfa.glime(VALUE, 0, distribution="gauss", exclude_full=True), ValueError, ["exclude_full", "binomial"]),
    (lambda: lfa.glime(MODEL, 0, distribution="gauss", noise_scale=0), ValueError, ["noise_scale", "0"]),
    (lambda: lfa.lime(lambda m: m, 0), TypeError, ["value", "n_features"]),
    (lambda: lfa.lime(MaskFunction(lambda m: np.where(m.all(1), np.nan, 1.), 3), 0), ValueError, ["value", "NaN"]),
    (lambda: neighborhoods.all_masks(30), ValueError, ["d", "30", "from 1 to 20"]),
    (lambda: neighborhoods.shapley().sample(4, 1, 0), ValueError, ["d", "1", "at least 2"]),
    # surrogates and similarity
    (lambda: surrogates.ridge(np.ones((4, 2)), np.ones(3)), ValueError, ["Z", "y", "(4, 2)"]),
    (lambda: surrogates.ridge(np.ones((4, 2)), np.full(4, np.inf)), ValueError, ["y", "infinite"]),
    (lambda: similarity.jaccard([1, 2], [1, 2, 3], 1), ValueError, ["b", "(3,)", "(2,)"]),
    (lambda: similarity.jaccard([1, 2], [1, 2], 0), ValueError, ["k", "0", "from 1 to 2"]),
    (lambda: similarity.jaccard([1, 2], [1, np.nan], 1), ValueError, ["b", "NaN"]),
    (lambda: similarity.jaccard([1, 2], [1, 2], 1, by="abs"), ValueError, ["by", "abs", "signed, absolute"]),
    (lambda: similarity.jaccard_by_chance(5, 6), ValueError, ["k", "6", "from 1 to 5"]),
    (lambda: similarity.over_pairs([[1, 2]], similarity.mse), ValueError, ["weights", "s >= 2"]),
    (lambda: similarity.spearman([1, 1], [1, 2]), ValueError, ["a", "constant"]),
])
def test_bad_input(call, error, words):
    with pytest.raises(error) as caught: call()
    for word in words: assert word in str(caught.value), str(caught.value)
