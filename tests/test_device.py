"What a GPU says is what the processor says, but for rounding."
import numpy as np
import pytest
import torch

from xai_repro.explain import lfa
from xai_repro.inputs import segmentation as features
from xai_repro.zoo import models
from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.inputs.image import MaskedModel

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
TOLERANCE = 1e-3    # of a probability; TF32 is off by default


def values() -> dict:
    image = embedded_photographs()["coffee"]
    segments = features.quickshift(image)
    return {device: MaskedModel(models.load("efficientnet_lite0", device).predict, image.to(device), segments) for device in ("cpu", "cuda")}


def test_the_same_masks_show_the_same_images():
    found = values()
    masks = torch.as_tensor(np.random.default_rng(0).random((70, found["cpu"].n_features)) < .5)
    assert torch.allclose(found["cpu"].render(masks), found["cuda"].render(masks).cpu(), atol=1e-6)
    assert np.abs(found["cpu"](masks) - found["cuda"](masks)).max() < TOLERANCE


@pytest.mark.parametrize("method, options", [(lfa.lime, {}), (lfa.glime, {}), (lfa.glime, dict(distribution="gauss"))], ids=["lime", "binomial", "gauss"])
def test_explanations_agree(method, options):
    a, b = (method(value, 505, 200, sigma=5., **options).weights for value in values().values())
    assert np.corrcoef(a, b)[0, 1] > .999 and np.abs(a - b).max() < .02*np.abs(a).max()
