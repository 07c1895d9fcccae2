"The value function: what is asked, once, in whatever batches."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from xai_repro import data, features, lfa, models
from xai_repro.masked import MaskedModel, MaskedText
from xai_repro.removal import Blur, Constant, MeanColor

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
    photo = data.photographs()["coffee"]
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
