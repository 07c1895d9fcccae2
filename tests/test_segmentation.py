"""Label maps are contiguous and deterministic, and equal scikit-image's own."""
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import segmentation as skimage_segmentation

from xai_repro.inputs import segmentation
from xai_repro.zoo.photographs import embedded_photographs

PHOTOGRAPHS = embedded_photographs(96)
MAKERS = {
    "quickshift": (segmentation.quickshift,),
    "slic": (segmentation.slic, 30),
    "slico": (segmentation.slico, 30),
    "grid": (segmentation.grid, 20),
    "seeds": (segmentation.seeds, 30),
}


def has_no_gap(labels) -> bool:
    d = int(labels.max()) + 1
    return torch.equal(labels.unique(), torch.arange(d))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_labels_are_0_to_d_minus_1(maker, name):
    make, *arguments = MAKERS[maker]
    image = PHOTOGRAPHS[name]
    labels = make(image, *arguments)
    assert labels.dtype == torch.int64
    assert labels.shape == (96, 96)
    assert has_no_gap(labels)
    assert labels.max() >= 1
    again = make(image, *arguments)
    assert torch.equal(labels, again)


def test_quickshift_is_the_lime_packages():
    """With the seed that GLIME fixes, and not scikit-image's default."""
    image = embedded_photographs()["chelsea"]
    pixels = image.permute(1, 2, 0).double().numpy()
    options = {"kernel_size": 4, "max_dist": 200, "ratio": .2, "rng": 2023}
    theirs = skimage_segmentation.quickshift(pixels, **options)
    numbered = np.unique(theirs, return_inverse=True)[1].reshape(theirs.shape)
    ours = segmentation.quickshift(image).numpy()
    assert np.array_equal(numbered, ours)


@pytest.mark.parametrize("make", [segmentation.slic, segmentation.slico])
def test_more_segments_where_more_are_wanted(make):
    image = PHOTOGRAPHS["coffee"]
    fine = make(image, 60)
    coarse = make(image, 15)
    assert fine.max() > coarse.max()


@pytest.mark.parametrize("patch, d", [(32, 9), (40, 9), (96, 1), (1, 96*96)])
def test_grid(patch, d):
    labels = segmentation.grid(PHOTOGRAPHS["china"], patch)
    assert labels.max() + 1 == d
    first = labels == labels[0, 0]
    assert first.sum() == patch**2


# overlapping masks

corner = st.integers(0, 11)
rectangle = st.tuples(corner, corner, corner, corner)


def rectangle_masks(rectangles):
    masks = np.zeros((len(rectangles), 12, 12), bool)
    for mask, (a, b, c, d) in zip(masks, rectangles, strict=True):
        top, bottom = sorted((a, b))
        left, right = sorted((c, d))
        mask[top:bottom + 1, left:right + 1] = True
    return masks


@settings(max_examples=60, deadline=None)
@given(st.lists(rectangle, min_size=1, max_size=6))
def test_disjoint_regions_make_up_the_image(rectangles):
    masks = rectangle_masks(rectangles)
    labels = segmentation.disjoint(masks, least=0)
    assert has_no_gap(labels)
    regions = labels.numpy()
    rest = ~masks.any(0)
    if rest.any() and not rest.all():
        of_rest = np.unique(regions[rest])
        assert len(of_rest) == 1
        assert not np.isin(regions[~rest], of_rest).any()
    candidates = [rest, *masks]
    for label in range(regions.max() + 1):
        region = regions == label
        within = [mask[region].all() for mask in candidates]
        assert any(within), "a region lies in one mask, or is the rest"


def test_what_two_masks_share_goes_to_the_smaller():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :, :8] = True
    masks[1, :, 6:] = True
    labels = segmentation.disjoint(masks)
    assert (labels == 0).sum() == 60
    assert (labels == 1).sum() == 40
    swapped = segmentation.disjoint(masks[::-1])
    assert torch.equal(swapped, 1 - labels)


def test_a_dropped_mask_goes_to_the_rest():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :, :8] = True
    masks[1, 0, 9] = True
    dropped = segmentation.disjoint(masks, least=.02)
    assert dropped[0, 8] == 1
    assert dropped[0, 9] == 1
    assert segmentation.disjoint(masks, least=.001).max() == 2


@pytest.mark.parametrize("shape, dtype", [((0, 4, 4), bool), ((2, 4, 4), float), ((4, 4), bool)])
def test_masks_of_another_kind(shape, dtype):
    bad = np.zeros(shape, dtype)
    with pytest.raises(ValueError, match=r"masks has dtype .* and shape .*; allowed: bool"):
        segmentation.disjoint(bad)


def test_segment_anything_goes_through_transformers(monkeypatch):
    """What the pipeline is given and what is made of its masks; its weights are not at hand."""
    given_to = {}

    def pipeline(task, model, device, trust_remote_code):
        assert trust_remote_code is False
        given_to.update(task=task, model=model)

        def generate(image, **options):
            given_to.update(size=image.size, **options)
            everything = torch.ones(96, 96, dtype=torch.bool)
            return {"masks": [everything, np.eye(96)]}

        return generate

    # transformers replaces its own module when this is first imported
    from transformers import pipeline as _  # noqa: F401

    monkeypatch.setattr(sys.modules["transformers"], "pipeline", pipeline)
    generate = segmentation.sam("some/sam", points_per_batch=8)
    labels = segmentation.from_masks(PHOTOGRAPHS["coffee"], generate)
    assert given_to == {
        "task": "mask-generation",
        "model": "some/sam",
        "size": (96, 96),
        "stability_score_thresh": .8,
        "points_per_batch": 8,
    }
    assert torch.equal(labels, torch.eye(96).long())


def test_seeds_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2.ximgproc", None)
    with pytest.raises(ImportError, match="opencv-contrib-python-headless"):
        segmentation.seeds(PHOTOGRAPHS["coffee"])


# images that are too small, empty or extreme: refused before native code, which ends the process

@pytest.mark.parametrize("height, width, n_segments", [
    (8, 8, 50), (32, 32, 1000), (10, 300, 50), (300, 10, 50), (2, 2, 2), (1, 1, 2), (1, 20_000, 50),
    (64, 64, 4096), (3, 3, 9)])
def test_seeds_refuse_images_without_blocks(height, width, n_segments):
    image = torch.rand(3, height, width)
    with pytest.raises(ValueError, match="allowed"):
        segmentation.seeds(image, n_segments)


@pytest.mark.parametrize("levels, iterations", [(0, 1), (17, 1), (10**9, 1), (3, 0), (3, 10**9)])
def test_seeds_refuse_other_counts(levels, iterations):
    image = torch.rand(3, 64, 64)
    with pytest.raises(ValueError, match="allowed"):
        segmentation.seeds(image, 20, levels, iterations)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), n_segments=st.integers(2, 400),
       levels=st.integers(1, 6))
def test_seeds_are_made_or_refused(height, width, n_segments, levels):
    image = torch.full((3, height, width), .3)
    try:
        labels = segmentation.seeds(image, n_segments, levels, 2)
    except ValueError as error:
        assert "allowed" in str(error)
    else:
        assert has_no_gap(labels)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("maker", MAKERS)
def test_empty_images_are_refused(maker, shape):
    make, *arguments = MAKERS[maker]
    with pytest.raises(ValueError, match="image has shape"):
        make(torch.zeros(3, *shape), *arguments)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("make", [
    segmentation.quickshift, lambda image: segmentation.slic(image, 1),
    lambda image: segmentation.slico(image, image.shape[1]),
    lambda image: segmentation.grid(image, 1)])
def test_narrow_images_are_segmented(make, shape):
    labels = make(torch.rand(3, *shape))
    assert labels.shape == shape
    assert has_no_gap(labels)


@pytest.mark.parametrize("options", [
    dict(kernel_size=.5), dict(kernel_size=1e9), dict(ratio=1.1), dict(seed=None)])
def test_quickshift_refuses_what_takes_all_time(options):
    with pytest.raises(ValueError, match="allowed"):
        segmentation.quickshift(torch.rand(3, 32, 32), **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("maker", ["quickshift", "slic", "slico", "seeds"])
def test_half_precision_has_no_borders(maker, dtype):
    make, *arguments = MAKERS[maker]
    with pytest.raises(TypeError, match=r"image\.float\(\)"):
        make(torch.rand(3, 64, 64).to(dtype), *arguments)
