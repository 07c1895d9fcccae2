"Label maps are contiguous and deterministic, and equal scikit-image's own."
import numpy as np
import pytest
import torch
from skimage import segmentation

from xai_repro import data, features

PHOTOS = data.photographs(96)
MAKERS = {"quickshift": features.quickshift, "slic": lambda i: features.slic(i, 30), "slico": lambda i: features.slico(i, 30), "grid": lambda i: features.grid(i, 20)}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("image", PHOTOS.values(), ids=PHOTOS)
def test_labels_are_0_to_d_minus_1(maker, image):
    labels = maker(image)
    assert labels.dtype == torch.int64 and labels.shape == (96, 96) and torch.equal(labels.unique(), torch.arange(labels.max() + 1))
    assert torch.equal(labels, maker(image)) and labels.max() >= 1


def test_quickshift_is_the_lime_packages():
    "With the seed that GLIME fixes, and not scikit-image's default."
    image = data.photographs()["chelsea"]
    theirs = segmentation.quickshift(image.permute(1, 2, 0).double().numpy(), kernel_size=4, max_dist=200, ratio=.2, rng=2023)
    assert np.array_equal(np.unique(theirs, return_inverse=True)[1].reshape(theirs.shape), features.quickshift(image).numpy())


def test_more_segments_where_more_are_asked():
    image = PHOTOS["coffee"]
    assert features.slic(image, 60).max() > features.slic(image, 15).max() and features.slico(image, 60).max() > features.slico(image, 15).max()


@pytest.mark.parametrize("patch, d", [(32, 9), (40, 9), (96, 1), (1, 96*96)])
def test_grid(patch, d):
    labels = features.grid(PHOTOS["china"], patch)
    assert labels.max() + 1 == d and (labels == labels[0, 0]).sum() == patch**2
