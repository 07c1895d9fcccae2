"""Boxes of maps, against counting pixels."""
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from pytest import approx

from xai_repro.evaluate import localisation as L

SIDE = 64

pixels = st.integers(0, SIDE - 1)
intervals = st.tuples(pixels, pixels).map(sorted)


@st.composite
def boxes(draw) -> np.ndarray:
    """A box on a picture of SIDE pixels: left, top, right, bottom."""
    left, right = draw(intervals)
    top, bottom = draw(intervals)
    return np.array([left, top, right, bottom])


def painted(box, side: int = SIDE) -> np.ndarray:
    """The pixels of a box: bool [side, side]."""
    left, top, right, bottom = box
    canvas = np.zeros((side, side), bool)
    canvas[top:bottom + 1, left:right + 1] = True
    return canvas


@given(boxes(), boxes())
def test_iou_counts_pixels(a, b):
    pixels_a = painted(a)
    pixels_b = painted(b)
    n_common = (pixels_a & pixels_b).sum()
    n_union = (pixels_a | pixels_b).sum()
    assert L.iou(a, b) == approx(n_common/n_union)


@given(boxes(), st.integers(1, 300))
def test_a_scaled_box_covers_every_pixel_that_it_reaches_into(box, to):
    scaled = L.scale_box(box, SIDE, to)
    pixel = np.arange(to)
    for low, high in ((0, 2), (1, 3)):
        # Pixel k of the new picture is [k, k + 1)*SIDE/to of the old one.
        start = box[low]*to
        end = (box[high] + 1)*to
        ends_after = (pixel + 1)*SIDE > start
        starts_before = pixel*SIDE < end
        reached = pixel[ends_after & starts_before]
        assert scaled[low] == reached.min()
        assert scaled[high] == reached.max()


@given(boxes(), st.integers(1, 5))
def test_enlarging_by_a_whole_multiple_is_repeating_pixels(box, times):
    to = times*SIDE
    enlarged = painted(L.scale_box(box, SIDE, to), to)
    rows = painted(box).repeat(times, 0)
    assert_array_equal(enlarged, rows.repeat(times, 1))


def tight_box(is_inside: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box with all pixels of a picture, bool [H, W]."""
    y, x = np.nonzero(is_inside)
    return x.min(), y.min(), x.max(), y.max()


maps = arrays(float, (6, 9), elements=st.floats(-1, 1))


@given(maps.filter(lambda h: h.max() > 0))
@example(np.eye(6, 9)*5e-324)
def test_a_map_s_box_is_tight_and_shrinks_as_alpha_grows(h):
    result = L.box_of(h)
    scaled = h*2.**60       # exact; a share of the least numbers would be rounded
    for alpha, box in zip(L.ALPHAS, result, strict=True):
        is_inside = scaled >= alpha*scaled.max()
        assert tuple(box) == tight_box(is_inside)
    left_top = np.diff(result[:, :2], axis=0)
    right_bottom = np.diff(result[:, 2:], axis=0)
    assert (left_top >= 0).all()
    assert (right_bottom <= 0).all()


@given(boxes())
def test_a_painted_box_is_the_box_of_its_map(box):
    heatmap = painted(box).astype(float)
    result = L.box_of(heatmap, .5)
    assert_array_equal(result, box)


def test_what_a_box_cuts_out_of_a_large_picture_is_what_is_there():
    n = 3*SIDE*SIDE
    image = torch.arange(n).view(3, SIDE, SIDE)/n
    part = L.cut_out(image, [10, 20, 25, 35], 16)
    torch.testing.assert_close(part, image[:, 20:36, 10:26])


@pytest.mark.parametrize("call, words", [
    (lambda: L.box_of(np.zeros((4, 4))), "heatmap has 0 as its largest score"),
    (lambda: L.box_of(np.ones((4, 4)), 1.5), "alphas is 1.5"),
    (lambda: L.area([0, 0, 1.5, 2]), "boxes has shape"),
    (lambda: L.area([2, 0, 1, 1]), "left <= right"),
    (lambda: L.scale_box([0, 0, 70, 3], 64, 224), "below the side of 64"),
    (lambda: L.saliency_metric(0., .5), "share is 0.0"),
    (lambda: L.best_alpha([[np.nan]*19]), "losses has shape"),
])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
