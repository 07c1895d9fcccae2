"Label maps are contiguous and deterministic, and equal scikit-image's own."
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from skimage import segmentation

from xai_repro.inputs import segmentation as features
from xai_repro.zoo.photographs import embedded_photographs
PHOTOS = embedded_photographs(96)
MAKERS = {"quickshift": features.quickshift, "slic": lambda i: features.slic(i, 30), "slico": lambda i: features.slico(i, 30), "grid": lambda i: features.grid(i, 20),
          "seeds": lambda i: features.seeds(i, 30)}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("image", PHOTOS.values(), ids=PHOTOS)
def test_labels_are_0_to_d_minus_1(maker, image):
    labels = maker(image)
    assert labels.dtype == torch.int64 and labels.shape == (96, 96) and torch.equal(labels.unique(), torch.arange(labels.max() + 1))
    assert torch.equal(labels, maker(image)) and labels.max() >= 1


def test_quickshift_is_the_lime_packages():
    "With the seed that GLIME fixes, and not scikit-image's default."
    image = embedded_photographs()["chelsea"]
    theirs = segmentation.quickshift(image.permute(1, 2, 0).double().numpy(), kernel_size=4, max_dist=200, ratio=.2, rng=2023)
    assert np.array_equal(np.unique(theirs, return_inverse=True)[1].reshape(theirs.shape), features.quickshift(image).numpy())


def test_more_segments_where_more_are_asked():
    image = PHOTOS["coffee"]
    assert features.slic(image, 60).max() > features.slic(image, 15).max() and features.slico(image, 60).max() > features.slico(image, 15).max()


@pytest.mark.parametrize("patch, d", [(32, 9), (40, 9), (96, 1), (1, 96*96)])
def test_grid(patch, d):
    labels = features.grid(PHOTOS["china"], patch)
    assert labels.max() + 1 == d and (labels == labels[0, 0]).sum() == patch**2


# overlapping masks

masks_of = st.integers(1, 6).flatmap(lambda k: st.lists(st.tuples(*[st.integers(0, 11)]*4), min_size=k, max_size=k))


def rectangles(corners):
    found = np.zeros((len(corners), 12, 12), bool)
    for mask, (a, b, c, d) in zip(found, corners): mask[min(a, b):max(a, b) + 1, min(c, d):max(c, d) + 1] = True
    return found


@settings(max_examples=60, deadline=None)
@given(masks_of)
def test_disjoint_regions_make_up_the_image(corners):
    masks = rectangles(corners)
    labels = features.disjoint(masks, least=0)
    assert torch.equal(labels.unique(), torch.arange(labels.max() + 1))
    rest = ~masks.any(0)
    if rest.any() and not rest.all(): assert len(np.unique(labels.numpy()[rest])) == 1 and not np.isin(labels.numpy()[~rest], labels.numpy()[rest]).any()
    for label in range(int(labels.max()) + 1):
        region = labels.numpy() == label
        assert rest[region].all() or any(mask[region].all() for mask in masks), "a region lies in one mask, or is the rest"


def test_what_two_masks_share_goes_to_the_smaller():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :, :8], masks[1, :, 6:] = True, True
    labels = features.disjoint(masks)
    assert (labels == 0).sum() == 60 and (labels == 1).sum() == 40
    assert torch.equal(features.disjoint(masks[::-1]), 1 - labels)


def test_a_dropped_mask_goes_to_the_rest():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :, :8], masks[1, 0, 9] = True, True
    assert features.disjoint(masks, least=.02)[0, 8] == features.disjoint(masks, least=.02)[0, 9] == 1
    assert features.disjoint(masks, least=.001).max() == 2


@pytest.mark.parametrize("bad", [np.zeros((0, 4, 4), bool), np.zeros((2, 4, 4)), np.zeros((4, 4), bool)])
def test_masks_that_are_none(bad):
    with pytest.raises(ValueError, match="masks has dtype .* and shape .*; allowed: bool"): features.disjoint(bad)


def test_segment_anything_goes_through_transformers(monkeypatch):
    "What is asked of the pipeline and what is made of its answer; its weights are not at hand."
    asked = {}
    def pipeline(task, model, device):
        asked.update(task=task, model=model)
        def generate(image, **options):
            asked.update(size=image.size, **options)
            return dict(masks=[torch.ones(96, 96, dtype=torch.bool), np.eye(96)])
        return generate
    from transformers import pipeline as _              # transformers replaces its own module when this is first asked for
    monkeypatch.setattr(sys.modules["transformers"], "pipeline", pipeline)
    labels = features.from_masks(PHOTOS["coffee"], features.sam("some/sam", points_per_batch=8))
    assert asked == dict(task="mask-generation", model="some/sam", size=(96, 96), stability_score_thresh=.8, points_per_batch=8)
    assert torch.equal(labels, torch.eye(96).long())


def test_seeds_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2.ximgproc", None)
    with pytest.raises(ImportError, match="opencv-contrib-python-headless"): features.seeds(PHOTOS["coffee"])
