"The value function: what is asked, once, in whatever batches."
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from xai_repro import value as masked
from xai_repro.explain import lfa
from xai_repro.inputs import segmentation as features, removal
from xai_repro.zoo import models
from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.inputs.text import MaskedText
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.removal import Blur, Constant, MeanColor

IMAGE = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
SEGMENTS = features.grid(IMAGE, 6)
PREDICT = lambda x: torch.stack([(i.double()**2).mean((1, 2)) for i in x])      # each image by itself: independent of the batch


@pytest.mark.parametrize("removal", [MeanColor(), Constant((.2, .5, .9)), Blur(2.)], ids=repr)
def test_images_are_what_a_loop_over_segments_makes(removal):
    seen = []
    value = MaskedModel(lambda x: seen.append(x) or PREDICT(x), IMAGE, SEGMENTS, removal)
    masks = np.random.default_rng(0).random((5, 16)) < .5
    value(masks)
    baseline = removal.baseline(IMAGE, SEGMENTS)
    for mask, image in zip(masks, torch.cat(seen)):
        expected = IMAGE.clone()
        for j in np.flatnonzero(~mask): expected[:, SEGMENTS == j] = baseline[:, SEGMENTS == j]
        assert torch.equal(image, expected)


@pytest.mark.parametrize("method", [lfa.lime, lfa.glime, lambda *a, **k: lfa.glime(*a, distribution="gauss", **k)], ids=["lime", "binomial", "gauss"])
def test_batch_size_changes_no_bit(method):
    first, *others = [method(MaskedModel(PREDICT, IMAGE, SEGMENTS, batch_size=b), 1, n_samples=150, sigma=2., seed=3) for b in (1, 7, 64)]
    for e in others: assert np.array_equal(e.weights, first.weights) and e.intercept == first.intercept and e.r2 == first.r2 and e.n_queries == first.n_queries


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 15), min_size=1, max_size=40), batch=st.integers(1, 9), cache=st.integers(0, 20))
def test_each_mask_once_whatever_the_cache(rows, batch, cache):
    segments = features.grid(IMAGE, 12)
    masks = (np.array(rows)[:, None] >> np.arange(4) & 1).astype(bool)
    value = MaskedModel(PREDICT, IMAGE, segments, batch_size=batch, cache_size=cache)
    first, again = value(masks), value(masks)
    distinct = len(set(rows))
    assert np.array_equal(first, again) and first.dtype == np.float32 and len(first) == len(rows)
    assert value.n_queries == distinct + max(distinct - cache, 0) if cache in (0,) or cache >= distinct else distinct <= value.n_queries <= 2*distinct
    assert len(value._cache) <= cache


def test_torch_and_numpy_masks_are_the_same():
    value = MaskedModel(PREDICT, IMAGE, SEGMENTS)
    masks = np.random.default_rng(1).random((9, 16)) < .5
    assert np.array_equal(value(masks), value(torch.as_tensor(masks)))


def test_noise_is_added_per_segment_and_clipped():
    seen = []
    value = MaskedModel(lambda x: seen.append(x) or PREDICT(x), IMAGE, SEGMENTS)
    noise = np.random.default_rng(0).normal(0, .6, (4, 16))
    value.add(noise)
    for z, image in zip(noise, torch.cat(seen)):
        assert np.allclose(image, np.clip(IMAGE.numpy() + z.astype(np.float32)[SEGMENTS.numpy()], 0, 1))
    assert value.n_queries == 4 and torch.cat(seen).min() == 0 and torch.cat(seen).max() == 1


@pytest.fixture(scope="module")
def real():
    photo = embedded_photographs()["coffee"]
    classifier = models.load("efficientnet_lite0", "cpu")
    return classifier, photo, features.quickshift(photo), int(classifier.predict(photo[None]).argmax())


def test_on_a_real_network_batches_agree_to_float32(real):
    classifier, photo, segments, target = real
    weights = [lfa.glime(MaskedModel(classifier.predict, photo, segments, batch_size=b), target, 48, sigma=1., seed=0).weights for b in (1, 7, 64)]
    for w in weights[1:]: assert np.abs(w - weights[0]).max() < 1e-4


def test_what_an_explanation_names_is_what_the_network_needs(real):
    "Removing the five superpixels of largest weight costs more probability than removing the five of smallest."
    classifier, photo, segments, target = real
    value = MaskedModel(classifier.predict, photo, segments)
    order = lfa.glime(value, target, 200, sigma=1., seed=0).weights.argsort()
    without = np.ones((2, value.n_features), bool)
    without[0, order[-5:]] = without[1, order[:5]] = False
    top, bottom = value(without)[:, target]
    assert classifier.class_names[target] == "espresso" and top < bottom - .2


# what an explanation costs besides the model

LABELS = st.lists(st.integers(0, 4), min_size=24, max_size=24).map(lambda x: torch.as_tensor(np.unique(x, return_inverse=True)[1]).view(4, 6))


@settings(max_examples=50, deadline=None)
@given(LABELS, st.integers(0, 9), st.sampled_from([torch.float32, torch.float64]))
def test_a_number_of_a_segment_reaches_its_pixels_and_no_other(segments, seed, dtype):
    rng = torch.Generator().manual_seed(seed)
    d = int(segments.max()) + 1
    values, image = torch.randn(3, d, generator=rng, dtype=dtype), torch.rand(3, 4, 6, generator=rng, dtype=dtype)
    assert torch.equal(features.Spread(segments)(values)[:, 0], values[:, segments])
    masks, colour = values > 0, Constant((.1, .7, 1/3))
    assert torch.equal(colour(image, segments)(masks), torch.where(masks[:, segments].unsqueeze(1), image, colour.baseline(image, segments)))     # to the last bit


def test_images_that_someone_keeps_are_not_written_over():
    kept, copies = [], []
    value = MaskedModel(lambda x: (kept.append(x[:, :1]), copies.append(x[:, :1].clone())) and PREDICT(x), IMAGE, SEGMENTS, batch_size=4)     # a view of them
    value(np.random.default_rng(0).random((40, 16)) < .5)
    value.add(np.random.default_rng(0).normal(0, .2, (9, 16)))
    assert len(kept) == 13 and all(torch.equal(a, b) for a, b in zip(kept, copies))


def test_memory_is_used_again_when_nobody_keeps_it(monkeypatch):
    monkeypatch.setattr(removal, "_memory", removal._Memory())
    render, where = MeanColor()(IMAGE, SEGMENTS), set()
    for i in range(6): where.add(render(torch.rand(8, 16, generator=torch.Generator().manual_seed(i)) < .5).data_ptr())
    assert len(where) == 1 and removal._memory._own.ctypes.data in where
    kept = render(torch.ones(8, 16, dtype=torch.bool))
    assert render(torch.zeros(8, 16, dtype=torch.bool)).data_ptr() != kept.data_ptr() and torch.equal(kept, IMAGE.expand(8, -1, -1, -1))
    few = render(torch.ones(1, 16, dtype=torch.bool))
    assert few.untyped_storage().nbytes() == IMAGE.numel()*4, "who keeps one image does not keep a batch's memory"


def test_a_model_may_write_its_scores_over_its_last_ones():
    out = torch.empty(4, 2)
    def predict(x): out[:len(x)] = PREDICT(x)[:, :2].float(); return out[:len(x)]
    masks = np.random.default_rng(0).random((30, 16)) < .5
    assert np.array_equal(MaskedModel(predict, IMAGE, SEGMENTS, batch_size=4)(masks), MaskedModel(lambda x: PREDICT(x)[:, :2], IMAGE, SEGMENTS)(masks))


def test_as_many_scores_as_masks():
    with pytest.raises(ValueError, match="scores of 3 masks; allowed: of the 2"): masked.MaskFunction(lambda m: np.zeros((3, 1)), 4)(np.array([[True]*4, [False]*4]))


@pytest.mark.parametrize("again", [False, True])
def test_one_class_is_its_column(again):
    masks = np.random.default_rng(0).random((50, 16)) < .9
    whole, one = MaskedModel(PREDICT, IMAGE, SEGMENTS), MaskedModel(PREDICT, IMAGE, SEGMENTS)
    if again: one(masks[10:30])
    assert np.array_equal(one.of_class(masks, 2), whole(masks)[:, 2]) and one.n_queries == whole.n_queries
    with pytest.raises(ValueError, match="target is 3; allowed: a whole number from 0 to 2"): one.of_class(masks, 3)


def test_the_cache_holds_so_many_bytes_and_the_oldest_leave_first(monkeypatch):
    monkeypatch.setattr(masked, "CACHE_BYTES", 10*3*4)
    masks = np.unique(np.random.default_rng(0).random((60, 16)) < .5, axis=0)[:25]
    value = MaskedModel(PREDICT, IMAGE, SEGMENTS, batch_size=4)
    value(masks)
    assert len(value._cache) == 10 and value.n_queries == 25
    value(masks[15:]); assert value.n_queries == 25
    value(masks[14:15]); assert value.n_queries == 26
    value(masks[15:16]); assert value.n_queries == 27      # the oldest of those that were left


@pytest.mark.parametrize("method", [lfa.lime, lfa.glime], ids=["lime", "glime"])
def test_memory_does_not_grow_with_the_other_classes(method):
    "20,000 masks of 1,000 classes are 80 MB of scores; kept are one column and what the cache may hold."
    said = np.random.default_rng(0).random((64, 1000), np.float32)
    value = masked.MaskFunction(lambda m: said[:len(m)]*m.mean(1, keepdims=True), 40)
    tracemalloc.start()
    try:
        explanation = method(value, 3, 20_000, sigma=5.)
        grown = tracemalloc.get_traced_memory()[1]
    finally: tracemalloc.stop()
    assert explanation.n_queries == 20_000 and grown < masked.CACHE_BYTES + 20e6


# texts

WORDS = ["never", "have", "I", "never", "ever"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8), st.sampled_from(["token", "drop"]), st.integers(1, 4))
def test_a_text_is_what_a_loop_over_its_words_makes(rows, mask, batch_size):
    seen, masks = [], np.array(rows)
    value = MaskedText(lambda texts: seen.extend(texts) or np.array([[len(t)] for t in texts], float), WORDS, mask, batch_size)
    scores = value(masks)
    def text(row): return " ".join(w if there else "[MASK]" for w, there in zip(WORDS, row) if there or mask == "token")
    assert scores.ravel().tolist() == [len(text(row)) for row in masks] and set(seen) == {text(row) for row in masks} and value.n_queries == len(np.unique(masks, axis=0))


def test_a_feature_of_several_tokens_goes_as_one():
    features_of, ids = np.array([-1, 0, 1, 0, 2, -1]), np.array([101, 7, 8, 7, 9, 102])
    said = []
    MaskedText(lambda i, a: said.append((i, a)) or np.zeros((len(i), 1)), ids, "attention", features=features_of)(np.array([[True, False, False], [False, True, True]]))
    assert (said[0][0] == ids).all() and said[0][1].tolist() == [[1, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 1]]


def test_dropped_ids_move_together():
    said = []
    MaskedText(lambda i, a: said.append((i, a)) or np.zeros((len(i), 1)), [4, 5, 6, 7], "drop")(np.array([[False, True, False, True], [True, True, True, False]]))
    (ids, attention), = said
    assert ids[0][attention[0] == 1].tolist() == [5, 7] and ids[1][attention[1] == 1].tolist() == [4, 5, 6] and ids.shape == (2, 3)
