"Boxes of maps, against counting pixels."
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from xai_repro.evaluate import localisation as L

SIDE = 64
boxes = st.tuples(*(st.lists(st.integers(0, SIDE - 1), min_size=2, max_size=2).map(sorted) for _ in range(2))).map(lambda c: np.array([c[0][0], c[1][0], c[0][1], c[1][1]]))

def painted(box, side: int = SIDE) -> np.ndarray:
    canvas = np.zeros((side, side), bool)
    canvas[box[1]:box[3] + 1, box[0]:box[2] + 1] = True
    return canvas

@given(boxes, boxes)
def test_iou_counts_pixels(a, b):
    assert L.iou(a, b) == pytest.approx((painted(a) & painted(b)).sum()/(painted(a) | painted(b)).sum())

@given(boxes, st.integers(1, 300))
def test_a_scaled_box_covers_every_pixel_that_it_reaches_into(box, to):
    scaled, at = L.scale_box(box, SIDE, to), np.arange(to)
    for low, high in ((0, 2), (1, 3)):      # pixel k of the new picture is [k, k + 1)*SIDE/to of the old one
        reached = ((at + 1)*SIDE > box[low]*to) & (at*SIDE < (box[high] + 1)*to)
        assert (scaled[low], scaled[high]) == (at[reached].min(), at[reached].max())

@given(boxes, st.integers(1, 5))
def test_enlarging_by_a_whole_multiple_is_repeating_pixels(box, times):
    np.testing.assert_array_equal(painted(L.scale_box(box, SIDE, times*SIDE), times*SIDE), painted(box).repeat(times, 0).repeat(times, 1))

@given(arrays(float, (6, 9), elements=st.floats(-1, 1)).filter(lambda h: h.max() > 0))
def test_a_map_s_box_is_tight_and_shrinks_as_alpha_grows(h):
    found = L.box_of(h)
    for alpha, (left, top, right, bottom) in zip(L.ALPHAS, found):
        y, x = np.nonzero(h >= alpha*h.max())
        assert (left, top, right, bottom) == (x.min(), y.min(), x.max(), y.max())
    assert (np.diff(found[:, :2], axis=0) >= 0).all() and (np.diff(found[:, 2:], axis=0) <= 0).all()

@given(boxes)
def test_a_painted_box_is_found_again(box):
    np.testing.assert_array_equal(L.box_of(painted(box).astype(float), .5), box)

def test_what_a_box_cuts_out_of_a_large_picture_is_what_is_there():
    import torch
    image = torch.arange(3*SIDE*SIDE).view(3, SIDE, SIDE)/(3*SIDE*SIDE)
    torch.testing.assert_close(L.cut_out(image, [10, 20, 25, 35], 16), image[:, 20:36, 10:26])

@pytest.mark.parametrize("call, words", [
    (lambda: L.box_of(np.zeros((4, 4))), "heatmap has 0 as its largest score"), (lambda: L.box_of(np.ones((4, 4)), 1.5), "alphas is 1.5"), (lambda: L.area([0, 0, 1.5, 2]), "boxes has shape"),
    (lambda: L.area([2, 0, 1, 1]), "left <= right"), (lambda: L.scale_box([0, 0, 70, 3], 64, 224), "below the side of 64"), (lambda: L.saliency_metric(0., .5), "share is 0.0"), (lambda: L.best_alpha([[np.nan]*19]), "losses has shape")])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")): call()
