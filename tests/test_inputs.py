"""What is explained: images, texts, rows and sounds, and the identity of each."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_inputs import BACKGROUND, BOTH, LOW, ROW, curved, whole
from small_models import image_scores, random_image, small_classifier
from torch import nn

from xai_repro.cache import Cache
from xai_repro.explain import lfa
from xai_repro.explain.distributions import all_masks
from xai_repro.inputs import removal, segmentation
from xai_repro.inputs.audio import MaskedSound, audio_instance
from xai_repro.inputs.image import MaskedModel, image_instance
from xai_repro.inputs.instance import function_instance
from xai_repro.inputs.removal import Blur, Constant, MeanColor
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.tabular import MaskedRow, tabular_instance
from xai_repro.inputs.text import MaskedText, text_instance
from xai_repro.inputs.tokens import MaskedPatches
from xai_repro.zoo import instances, models

IMAGE = random_image(size=24)
SEGMENTS = grid(IMAGE, 6)      # 16 squares


def random_masks(n, seed=0, d=16):
    uniform = np.random.default_rng(seed).random((n, d))
    return uniform < .5


def random_noise(n, deviation, d=16):
    return np.random.default_rng(0).normal(0, deviation, (n, d))


class Watching:
    """A model that remembers what it was given, batch by batch."""

    def __init__(self, scores):
        self.scores = scores
        self.batches = []

    def __call__(self, *inputs):
        given = inputs if len(inputs) > 1 else inputs[0]
        self.batches.append(given)
        return self.scores(*inputs)


# images

REMOVALS = [MeanColor(), Constant((.2, .5, .9)), Blur(2.)]


@pytest.mark.parametrize("removal", REMOVALS, ids=repr)
def test_images_are_what_a_loop_over_segments_makes(removal):
    model = Watching(image_scores)
    masks = random_masks(5)
    MaskedModel(model, IMAGE, SEGMENTS, removal)(masks)
    baseline = removal.baseline(IMAGE, SEGMENTS)
    for mask, image in zip(masks, torch.cat(model.batches), strict=True):
        expected = IMAGE.clone()
        for j in np.flatnonzero(~mask):
            absent = SEGMENTS == j
            expected[:, absent] = baseline[:, absent]
        assert torch.equal(image, expected)


def test_noise_is_added_per_segment_and_clipped():
    model = Watching(image_scores)
    value = MaskedModel(model, IMAGE, SEGMENTS)
    noise = random_noise(4, .6)
    value.add(noise)
    images = torch.cat(model.batches)
    for z, image in zip(noise, images, strict=True):
        shift = z.astype(np.float32)[SEGMENTS.numpy()]
        moved = IMAGE.numpy() + shift
        assert np.allclose(image, np.clip(moved, 0, 1))
    assert value.n_queries == 4
    assert (images.min(), images.max()) == (0, 1)


def relabel(numbers):
    labels = np.unique(numbers, return_inverse=True)[1]
    return torch.as_tensor(labels).view(4, 6)


NUMBERS = st.lists(st.integers(0, 4), min_size=24, max_size=24)
LABELS = NUMBERS.map(relabel)
DTYPES = st.sampled_from([torch.float32, torch.float64])


@settings(max_examples=50, deadline=None)
@given(LABELS, st.integers(0, 9), DTYPES)
def test_a_number_of_a_segment_reaches_its_pixels_and_no_other(segments, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    d = int(segments.max()) + 1
    values = torch.randn(3, d, generator=generator, dtype=dtype)
    image = torch.rand(3, 4, 6, generator=generator, dtype=dtype)
    at_pixels = values[:, segments]
    spread = segmentation.Spread(segments)(values)
    assert torch.equal(spread[:, 0], at_pixels)
    colour = Constant((.1, .7, 1/3))
    baseline = colour.baseline(image, segments)
    expected = torch.where(at_pixels.unsqueeze(1) > 0, image, baseline)
    rendered = colour(image, segments)(values > 0)
    assert torch.equal(rendered, expected), "to the last bit"


def test_images_that_someone_keeps_are_not_written_over():
    views, copies = [], []

    def keep(images):
        red = images[:, :1]
        views.append(red)
        copies.append(red.clone())
        return image_scores(images)

    value = MaskedModel(keep, IMAGE, SEGMENTS, batch_size=4)
    value(random_masks(40))
    value.add(random_noise(9, .2))
    assert len(views) == 13
    for view, copied in zip(views, copies, strict=True):
        assert torch.equal(view, copied)


def test_memory_is_used_again_when_nobody_keeps_it(monkeypatch):
    monkeypatch.setattr(removal, "_memory", removal._Memory())
    render = MeanColor()(IMAGE, SEGMENTS)
    addresses = set()
    for seed in range(6):
        masks = torch.as_tensor(random_masks(8, seed))
        images = render(masks)
        addresses.add(images.data_ptr())
        del images
    assert len(addresses) == 1
    (buffer,) = removal._memory._buffers
    assert buffer.numbers.ctypes.data in addresses
    present = torch.ones(8, 16, dtype=torch.bool)
    full = render(present)
    empty = render(~present)
    assert empty.data_ptr() != full.data_ptr()
    copies = IMAGE.expand(8, -1, -1, -1)
    assert torch.equal(full, copies)
    one = render(present[:1])
    n_bytes = one.untyped_storage().nbytes()
    message = "who keeps one image does not keep a batch's memory"
    assert n_bytes == IMAGE.numel()*4, message


def test_what_is_rendered_is_what_the_model_is_given():
    model = Watching(image_scores)
    instance = image_instance(Predicting(model), IMAGE, SEGMENTS, target=0)
    masks = random_masks(3)
    instance(masks)
    images = instance.perturb(masks)
    assert torch.equal(model.batches[-1], images)


class Predicting:
    """A function of images as a classifier without gradients."""

    def __init__(self, predict):
        self.predict = predict


# a real network

@pytest.fixture(scope="module")
def photo(photographs):
    return photographs["coffee"]


@pytest.fixture(scope="module")
def superpixels(photo):
    return segmentation.quickshift(photo)


@pytest.fixture(scope="module")
def espresso(lite, photo):
    target = int(lite.predict(photo[None]).argmax())
    assert lite.class_names[target] == "espresso"
    return target


def test_on_a_real_network_batches_agree_to_float32(lite, photo, superpixels, espresso):
    weights = []
    for size in (1, 7, 64):
        value = MaskedModel(lite.predict, photo, superpixels, batch_size=size)
        explanation = lfa.glime(value, espresso, 48, sigma=1., seed=0)
        weights.append(explanation.weights)
    for w in weights[1:]:
        difference = np.abs(w - weights[0])
        assert difference.max() < 1e-4


def test_what_an_explanation_names_is_what_the_network_needs(lite, photo, superpixels, espresso):
    """Removing the five superpixels of largest weight costs more than the five of smallest."""
    value = MaskedModel(lite.predict, photo, superpixels)
    explanation = lfa.glime(value, espresso, 200, sigma=1., seed=0)
    order = explanation.weights.argsort()
    without = np.ones((2, value.n_features), bool)
    without[0, order[-5:]] = False
    without[1, order[:5]] = False
    without_top, without_bottom = value(without)[:, espresso]
    assert without_top < without_bottom - .2


def test_a_photograph_is_asked_once(lite):
    def instance():
        made, = instances.image_instances(lite, "embedded", 1, patch=112)
        return made

    first = instance()
    masks = all_masks(4)
    scores = first(masks)
    n_queries = first.n_queries
    assert np.array_equal(first(masks), scores)
    assert first.n_queries == n_queries
    assert (first.label, first.d) == (None, 4)
    assert instance().identity == first.identity


# tokens

def test_dropped_patches_are_another_instance_than_grey_ones(tmp_path):
    classifier = models.load("vit_tiny101_s", "cpu")
    cache = Cache(tmp_path)

    def instance(absent):
        made, = instances.image_instances(
            classifier, "embedded", 1, patch=16, absent=absent, cache=cache)
        return made

    grey = instance("grey")
    dropped = instance("dropped")
    assert isinstance(dropped.value, MaskedPatches)
    assert dropped.identity != grey.identity
    assert dropped.target == grey.target
    scores = dropped(whole(grey.d))
    assert np.allclose(scores, grey(whole(grey.d)), atol=1e-5)
    again = instance("dropped")
    assert np.array_equal(again(whole(grey.d)), scores)
    assert again.identity == dropped.identity
    assert again.n_passes == 0


# texts

WORDS = ["never", "have", "I", "never", "ever"]
FIVE = st.lists(st.booleans(), min_size=5, max_size=5)
ROWS = st.lists(FIVE, min_size=1, max_size=8)


def lengths(texts):
    counts = [len(text) for text in texts]
    return np.array(counts, float)[:, None]


def written(row, mask):
    """A text by a loop over its words."""
    words = []
    for word, there in zip(WORDS, row, strict=True):
        if there: words.append(word)
        elif mask == "token": words.append("[MASK]")
    return " ".join(words)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from(["token", "drop"]), st.integers(1, 4))
def test_a_text_is_what_a_loop_over_its_words_makes(rows, mask, batch_size):
    masks = np.array(rows)
    model = Watching(lengths)
    value = MaskedText(model, WORDS, mask, batch_size)
    scores = value(masks)
    texts = [written(row, mask) for row in masks]
    expected = lengths(texts)
    assert np.array_equal(scores, expected)
    asked = set().union(*model.batches)
    assert asked == set(texts)
    distinct = np.unique(masks, axis=0)
    assert value.n_queries == len(distinct)


def no_scores(ids, attention): return np.zeros((len(ids), 1))


def test_a_feature_of_several_tokens_goes_as_one():
    features = np.array([-1, 0, 1, 0, 2, -1])
    ids = np.array([101, 7, 8, 7, 9, 102])
    model = Watching(no_scores)
    masks = np.array([[True, False, False], [False, True, True]])
    MaskedText(model, ids, "attention", features=features)(masks)
    (given_ids, attention), = model.batches
    assert (given_ids == ids).all()
    assert attention.tolist() == [[1, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 1]]


def test_dropped_ids_move_together():
    model = Watching(no_scores)
    masks = np.array([[False, True, False, True], [True, True, True, False]])
    MaskedText(model, [4, 5, 6, 7], "drop")(masks)
    (ids, attention), = model.batches
    assert ids.shape == (2, 3)
    present = attention == 1
    first = ids[0][present[0]]
    second = ids[1][present[1]]
    assert first.tolist() == [5, 7]
    assert second.tolist() == [4, 5, 6]


def test_the_words_of_a_plain_function_are_left_out():
    instance = text_instance(lengths, "a good film")
    assert instance.feature_names == ("a", "good", "film")
    masks = np.array([[True, False, True], [False, False, False]])
    scores = instance(masks)
    expected = lengths(["a film", ""])
    assert np.array_equal(scores, expected)


# rows of tables

def test_several_rows_of_background_are_averaged_over():
    value = MaskedRow(curved, ROW, BACKGROUND)
    for mask, score in zip(all_masks(3), value(all_masks(3)), strict=True):
        rows = np.where(mask, ROW, BACKGROUND)
        assert np.isclose(score[0], curved(rows).mean())


@pytest.mark.parametrize("background, fill", [
    (None, np.zeros(3)), (2.5, np.full(3, 2.5)), (BACKGROUND[1], BACKGROUND[1]),
    (BACKGROUND[:1], BACKGROUND[0])])
def test_an_absent_column_takes_the_value_of_the_background(background, fill):
    instance = tabular_instance(curved, ROW, background)
    rows = np.where(all_masks(3), ROW, fill)
    scores = instance.of_class(all_masks(3), 0)
    assert np.allclose(scores, curved(rows))


def test_noise_is_added_to_the_row():
    noise = random_noise(5, 1., 3)
    instance = tabular_instance(curved, ROW)
    scores = instance.add(noise, 0)
    assert np.allclose(scores, curved(ROW + noise))


def test_a_series_names_its_features():
    series = pd.Series([1, 2, 3], index=["age", "income", "debt"])
    instance = tabular_instance(curved, series)
    assert instance.feature_names == ("age", "income", "debt")
    row = np.array([[1., 2., 3.]])
    score = instance.of_class(whole(3), 0)
    assert np.allclose(score, curved(row))


def test_a_module_is_asked_in_its_own_precision_with_and_without_gradients():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)]
    network = nn.Sequential(*layers)
    instance = tabular_instance(network, ROW, BACKGROUND)
    row = torch.tensor(ROW).float()[None]
    with torch.no_grad():
        expected = network(row)
    assert np.allclose(instance(whole(3)), expected, atol=1e-6)
    view = instance.view
    assert np.allclose(view.baseline, BACKGROUND.mean(0))
    assert torch.equal(view.x[None], row)
    scores = view.scores(row)
    assert torch.equal(scores, network(row))


# sounds

def loudness(waveforms): return (waveforms**2).mean(1, keepdim=True)


def test_a_whole_sound_is_itself_and_an_empty_one_is_silent():
    value = MaskedSound(loudness, BOTH, (4, 4))
    full, = value.render(whole(16))
    assert np.allclose(full, BOTH, atol=1e-5)
    empty, = value.render(~whole(16))
    assert not empty.any()


def test_cells_add_up_to_the_sound():
    """A short-time Fourier transform is linear: cells are a partition of it."""
    value = MaskedSound(loudness, BOTH, (3, 2))
    one_by_one = np.eye(6, dtype=bool)
    cells = value.render(one_by_one)
    assert np.allclose(cells.sum(0), BOTH, atol=1e-5)


def test_a_cell_is_a_stretch_of_time_and_a_band_of_frequency():
    value = MaskedSound(loudness, BOTH, (2, 2))
    both_times = np.array([[True, False, True, False]])
    low, = value.render(both_times)       # of band 0
    inside = slice(400, -400)       # not where the sound begins and ends at once
    assert np.allclose(low[inside], LOW[inside], atol=.02)
    both_bands = np.array([[True, True, False, False]])
    early, = value.render(both_bands)     # of time 0
    assert not early[2400:].any()
    assert np.allclose(early[:1600], BOTH[:1600], atol=1e-5)


def test_a_sound_names_its_features():
    instance = audio_instance(loudness, BOTH, (2, 3))
    assert instance.d == 6
    assert instance.feature_names[4] == "time 1, band 1"


@pytest.mark.parametrize("waveform", [BOTH[None], BOTH*4, BOTH[:3], BOTH*np.nan])
def test_another_waveform_is_refused(waveform):
    with pytest.raises(ValueError, match=r"waveform has shape .*allowed: one channel \[T\]"):
        audio_instance(loudness, waveform)


# identities

def image_identity(classifier=None, image=IMAGE, segments=SEGMENTS, target=0, **options):
    if classifier is None: classifier = small_classifier(weights="w")
    return image_instance(classifier, image, segments, target=target, **options).identity


def test_what_determines_a_score_changes_the_identity():
    same = small_classifier(weights="w")
    imprecise = replace(same, dtype=torch.bfloat16)
    others = [
        image_identity(target=1),
        image_identity(image=IMAGE.flip(2)),
        image_identity(segments=SEGMENTS.T.contiguous()),
        image_identity(removal=Blur(2.)),
    ]
    classifiers = [
        small_classifier(weights="v"), small_classifier(1), small_classifier(2), imprecise]
    for classifier in classifiers:
        identity = image_identity(classifier)
        others.append(identity)
    assert len(set(others)) == 8
    assert image_identity() not in others
    assert image_identity(same) == image_identity()


@pytest.mark.parametrize("same", [
    dict(batch_size=3), dict(cache_size=7), dict(removal=MeanColor()), dict(name="a", label=2),
    dict(gradients=small_classifier(2)), dict(image=IMAGE.clone())])
def test_what_determines_no_score_leaves_the_identity(same):
    assert image_identity(**same) == image_identity()


def test_another_class_is_another_instance_of_the_same_value_function():
    classifier = small_classifier(weights="w")
    instance = image_instance(classifier, IMAGE, SEGMENTS, target=0)
    other = instance.explained_as(2)
    assert (other.target, other.value) == (2, instance.value)
    assert other.identity != instance.identity
    assert instance.explained_as(0) is instance


def test_other_segments_are_the_instance_that_would_have_been_made():
    classifier = small_classifier(weights="w")
    instance = image_instance(classifier, IMAGE, SEGMENTS, Blur(2.), 1, name="x", label=2)
    halves = grid(IMAGE, 12)
    again = instance.resegment(halves)
    direct = image_instance(classifier, IMAGE, halves, Blur(2.), 1)
    assert again.identity == direct.identity
    assert (again.d, again.target) == (4, 1)
    assert (again.name, again.label) == ("x", 2)
    changed = instance.resegment(halves, MeanColor())
    direct = image_instance(classifier, IMAGE, halves, target=1)
    assert changed.identity == direct.identity


def test_answers_are_of_the_model_the_input_and_the_removal(tmp_path):
    cache = Cache(tmp_path)
    masks = random_masks(12)
    first = image_instance(small_classifier(1), IMAGE, SEGMENTS, cache=cache)
    scores = first(masks)
    same = image_instance(small_classifier(1), IMAGE, SEGMENTS, cache=cache)
    assert np.array_equal(same(masks), scores)
    assert same.n_passes == 0
    other = image_instance(small_classifier(2), IMAGE, SEGMENTS, cache=cache)
    assert not np.array_equal(other(masks), scores)
    assert other.n_passes == other.n_queries > 0
    files = list(tmp_path.glob("*/*.sqlite"))
    assert len(files) == 2


def test_another_target_has_the_same_answers(tmp_path):
    cache = Cache(tmp_path)
    masks = random_masks(12)
    classifier = small_classifier(1)
    first = image_instance(classifier, IMAGE, SEGMENTS, target=0, cache=cache)
    first(masks)
    other = image_instance(classifier, IMAGE, SEGMENTS, target=1, cache=cache)
    other.of_class(masks, other.target)
    assert other.n_passes == 0


def test_a_model_that_does_not_say_what_it_is_leaves_nothing_on_disk(tmp_path):
    cache = Cache(tmp_path)
    model = Predicting(image_scores)
    made = [
        image_instance(model, IMAGE, grid(IMAGE, 12), cache=cache),
        tabular_instance(curved, ROW, cache=cache),
        text_instance(lengths, "a good film", cache=cache),
        audio_instance(loudness, BOTH, (1, 2), cache=cache),
    ]
    for instance in made:
        instance(all_masks(instance.d))
    assert list(tmp_path.iterdir()) == []
    first = function_instance(curved, 3)
    second = function_instance(curved, 3)
    assert first.identity != second.identity


class Known:
    """A function that says what it is."""

    def __init__(self, function, name):
        self.function = function
        self.name = name

    def identity(self): return self.name

    def __call__(self, inputs): return self.function(inputs)


@pytest.mark.parametrize("make, others", [
    (lambda name, **o: tabular_instance(Known(curved, name), **(dict(row=ROW) | o)),
     [dict(row=ROW + 1), dict(background=1.), dict(background=BACKGROUND)]),
    (lambda name, **o: text_instance(Known(lengths, name), **(dict(text="a good film") | o)),
     [dict(text="a bad film")]),
    (lambda name, **o: audio_instance(Known(loudness, name), **(dict(waveform=BOTH) | o)),
     [dict(waveform=BOTH/2), dict(cells=(4, 4)), dict(window=200)])],
    ids=["row", "text", "sound"])
def test_identities_of_other_inputs(make, others):
    different = [make("f", **other).identity for other in others]
    identities = {make("f").identity, make("g").identity, *different}
    assert len(identities) == 2 + len(others)
    assert make("f").identity == make("f").identity


def test_answers_between_baseline_and_input_are_of_the_baseline(tmp_path):
    """Two baselines of gradient methods share masks' answers, but not those of factors."""
    classifier = small_classifier()
    image = random_image()
    made = {}
    for baseline in (0., 1.):
        instance = image_instance(
            classifier, image, grid(image, 8), Constant(), target=0, baseline=baseline,
            cache=Cache(tmp_path))
        made[baseline] = instance.scale(np.zeros((1, instance.d)))[0]
        empty = torch.full_like(image, baseline)[None]
        expected = classifier.logits(empty).softmax(1)[0].detach().numpy()
        assert np.allclose(made[baseline], expected, atol=1e-6)
    assert not np.allclose(made[0.], made[1.])


def test_a_module_is_asked_in_evaluation_mode_and_left_as_it_was():
    network = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(.5), nn.Linear(8, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    instance = tabular_instance(network.train(), [1., 2., 3.])
    first = instance(np.ones((1, 3), bool))
    assert np.array_equal(first, instance.fresh()(np.ones((1, 3), bool)))
    assert all(module.training for module in network.modules())
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
