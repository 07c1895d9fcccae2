"""The value function: each mask is asked once, in whatever batches."""
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import image_scores, random_image

from xai_repro.cache import CACHE_BYTES, KEY_BYTES, KEY_OVERHEAD, Cache, Memory
from xai_repro.explain import distributions, lfa
from xai_repro.explain.distributions import all_masks
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.segmentation import grid
from xai_repro.value import Columns, MaskFunction, ValueFunction, class_scores

IMAGE = random_image(size=24)
SEGMENTS = grid(IMAGE, 6)      # 16 squares


def image_value(predict=image_scores, **options):
    return MaskedModel(predict, IMAGE, SEGMENTS, **options)


def random_masks(n, seed=0, share=.5, d=16):
    return np.random.default_rng(seed).random((n, d)) < share


METHODS = {
    "lime": lfa.lime,
    "binomial": lfa.glime,
    "gauss": partial(lfa.glime, distribution="gauss"),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_batch_size_changes_no_bit(method):
    values = [image_value(batch_size=size) for size in (1, 7, 64)]
    first, *others = [method(value, 1, n_samples=150, sigma=2., seed=3) for value in values]
    for other in others:
        assert np.array_equal(other.weights, first.weights)
        assert (other.intercept, other.r2) == (first.intercept, first.r2)
        assert other.n_queries == first.n_queries


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.integers(0, 15), min_size=1, max_size=40),
    batch=st.integers(1, 9),
    cache=st.integers(0, 20))
def test_each_mask_once_whatever_the_cache(rows, batch, cache):
    masks = all_masks(4)[rows]
    value = MaskedModel(
        image_scores, IMAGE, grid(IMAGE, 12), batch_size=batch, cache_size=cache)
    first = value(masks)
    again = value(masks)
    distinct = len(set(rows))
    assert np.array_equal(first, again)
    assert len(first) == len(rows)
    assert len(value._memory) <= cache
    if cache == 0 or cache >= distinct:
        assert value.n_queries == distinct + max(distinct - cache, 0)
    else:
        assert distinct <= value.n_queries <= 2*distinct
    assert value.n_passes == value.n_queries, "nothing is on disk"


@pytest.mark.parametrize("model_dtype, dtype", [
    (torch.float16, np.float32), (torch.float32, np.float32), (torch.float64, np.float64)])
def test_scores_keep_double_precision_and_have_single_at_least(model_dtype, dtype):
    value = image_value(lambda images: image_scores(images).to(model_dtype))
    assert value(random_masks(5)).dtype == dtype


def test_torch_and_numpy_masks_are_the_same():
    masks = random_masks(9, seed=1)
    value = image_value()
    assert np.array_equal(value(masks), value(torch.as_tensor(masks)))


def test_a_model_may_write_its_scores_over_its_last_ones():
    out = torch.empty(4, 2)

    def two(images): return image_scores(images)[:, :2].float()

    def in_place(images):
        out[:len(images)] = two(images)
        return out[:len(images)]

    masks = random_masks(30)
    assert np.array_equal(image_value(in_place, batch_size=4)(masks), image_value(two)(masks))


def test_as_many_scores_as_masks():
    value = MaskFunction(lambda masks: np.zeros((3, 1)), 4)
    with pytest.raises(ValueError, match=r"shape \(3, 1\) for 2 masks; allowed: \(2, K\)"):
        value(all_masks(4)[:2])


@pytest.mark.parametrize("again", [False, True])
def test_one_class_is_its_column(again):
    masks = random_masks(50, share=.9)
    whole = image_value()
    one = image_value()
    if again: one(masks[10:30])
    assert np.array_equal(one.of_class(masks, 2), whole(masks)[:, 2])
    assert one.n_queries == whole.n_queries
    with pytest.raises(ValueError, match="target is 3; allowed: a whole number from 0 to 2"):
        one.of_class(masks, 3)


def test_memory_holds_so_many_bytes_and_the_oldest_leave_first():
    row_bytes = 3*8 + KEY_BYTES + KEY_OVERHEAD
    value = image_value(batch_size=4)
    value._memory = Memory(max_bytes=10*row_bytes)
    masks = np.unique(random_masks(60), axis=0)[:25]
    value(masks)
    assert (len(value._memory), value.n_queries) == (10, 25)
    value(masks[15:])
    assert value.n_queries == 25
    value(masks[14:15])
    assert value.n_queries == 26
    value(masks[15:16])
    assert value.n_queries == 27, "the oldest of those that were left"


@pytest.mark.parametrize("method", [lfa.lime, lfa.glime], ids=["lime", "glime"])
def test_memory_does_not_grow_with_the_other_classes(method):
    """20,000 masks of 1,000 classes are 80 MB of scores: one column and a bounded memory stay."""
    scores = np.random.default_rng(0).random((64, 1000), np.float32)

    def predict(masks): return scores[:len(masks)]*masks.mean(1, keepdims=True)

    value = MaskFunction(predict, 40)
    tracemalloc.start()
    try:
        explanation = method(value, 3, 20_000, sigma=5.)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert explanation.n_queries == 20_000
    assert peak < CACHE_BYTES + 20e6


def test_a_fresh_value_function_counts_from_nothing():
    value = image_value()
    masks = random_masks(12)
    value(masks)
    fresh = value.fresh()
    assert (fresh.n_queries, fresh.n_passes) == (0, 0)
    assert np.array_equal(fresh(masks), value(masks))
    assert fresh.n_queries == value.n_queries > 0


def test_columns_share_the_memory_of_the_whole():
    value = image_value()
    masks = random_masks(12)
    last = Columns(value, slice(1, 3))
    assert np.array_equal(last(masks), value(masks)[:, 1:])
    assert last.n_queries == value.n_queries
    assert isinstance(last, ValueFunction)
    assert np.array_equal(class_scores(last, masks, 1), value(masks)[:, 2])


# answers on disk

DISTRIBUTIONS = {
    "uniform": distributions.uniform(1.),
    "binomial": distributions.binomial(1., exclude_full=True),
    "gauss": distributions.gauss(1.),
    "original first": distributions.uniform(1., original_first=True),
    "gauss, original first": distributions.gauss(1., original_first=True),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_draw_on_stored_answers_is_the_draw(distribution, tmp_path):
    direct = lfa.draw(image_value(), 0, distribution, 30, 4)
    n_passes = []
    for _ in range(2):
        value = image_value(answers=Cache(tmp_path).answers("a1"))
        samples = lfa.draw(value, 0, distribution, 30, 4)
        assert np.array_equal(samples.Z, direct.Z)
        assert np.array_equal(samples.y, direct.y)
        assert samples.n_queries == direct.n_queries, "counted from nothing"
        n_passes.append(value.n_passes)
    assert n_passes == [direct.n_queries, 0], "found again without a pass"


@pytest.mark.parametrize("sizes", [(3, 64), (64, 3)])
def test_batches_of_another_size_read_the_same_answers(sizes, tmp_path):
    scores = []
    for size in sizes:
        answers = Cache(tmp_path).answers("a1")
        value = image_value(batch_size=size, answers=answers)
        scores.append(value(random_masks(20)))
    assert value.n_passes == 0
    assert np.array_equal(*scores)


def test_a_run_that_is_stopped_loses_one_batch(tmp_path):
    calls = []

    def stops(images):
        calls.append(len(images))
        if len(calls) == 4: raise KeyboardInterrupt
        return image_scores(images)

    masks = random_masks(40)
    value = image_value(stops, batch_size=5, answers=Cache(tmp_path).answers("a1"))
    with pytest.raises(KeyboardInterrupt): value(masks)
    again = image_value(batch_size=5, answers=Cache(tmp_path).answers("a1"))
    again(masks)
    assert again.n_queries - again.n_passes == 15
