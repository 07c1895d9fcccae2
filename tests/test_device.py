"""Scores on a GPU are those of the processor, but for rounding."""
import numpy as np
import pytest
import torch

from xai_repro.explain import lfa
from xai_repro.inputs import segmentation
from xai_repro.inputs.image import MaskedModel
from xai_repro.zoo import models
from xai_repro.zoo.photographs import embedded_photographs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
TOLERANCE = 1e-3  # of a probability; TF32 is off by default


@pytest.fixture
def values() -> list[MaskedModel]:
    """The same value function on the processor and on a GPU."""
    image = embedded_photographs()["coffee"]
    segments = segmentation.quickshift(image)

    def on(device):
        classifier = models.load("efficientnet_lite0", device)
        return MaskedModel(classifier.predict, image.to(device), segments)

    return [on("cpu"), on("cuda")]


def test_the_same_masks_show_the_same_images(values):
    cpu, gpu = values
    rng = np.random.default_rng(0)
    masks = torch.as_tensor(rng.random((70, cpu.n_features)) < .5)
    assert torch.allclose(cpu.render(masks), gpu.render(masks).cpu(), atol=1e-6)
    difference = np.abs(cpu(masks) - gpu(masks))
    assert difference.max() < TOLERANCE


METHODS = {
    "lime": (lfa.lime, {}),
    "binomial": (lfa.glime, {}),
    "gauss": (lfa.glime, dict(distribution="gauss")),
}


@pytest.mark.parametrize("method, options", METHODS.values(), ids=METHODS)
def test_explanations_agree(values, method, options):
    results = [method(value, 505, 200, sigma=5., **options) for value in values]
    cpu, gpu = (result.weights for result in results)
    correlation = np.corrcoef(cpu, gpu)[0, 1]
    difference = np.abs(cpu - gpu)
    assert correlation > .999
    assert difference.max() < .02*np.abs(cpu).max()
