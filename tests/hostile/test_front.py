"""The public face with every kind of bad value, and models that answer anything."""
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from front_values import (
    NO_COUNTS,
    NO_FUNCTIONS,
    NO_SCORES,
    NO_SEEDS,
    NO_VECTORS,
    ONE_SCORE_MORE,
    D,
    attempt,
    enter,
)
from PIL import Image
from small_inputs import BOTH
from small_models import small_classifier
from torch import nn

import xai_repro as xr
from xai_repro.evaluate.metrics import METRICS, applicable
from xai_repro.explain.attribution import Attribution
from xai_repro.explain.methods import METHODS
from xai_repro.inputs.removal import Blur, Constant
from xai_repro.inputs.segmentation import grid

SIDE = 16


def random_image(side):
    """An image [3, side, side], the same at each call."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, side, side, generator=generator)


IMAGE = random_image(SIDE)
TILES = grid(IMAGE, 8)           # four squares
MASK = np.ones((1, D), bool)


def colours(images):
    """Scores of images: their mean red, green and blue."""
    return images.mean((2, 3))


def loud(waveforms):
    """Scores of sounds: their power, and one less it."""
    power = (waveforms**2).mean(1)
    return torch.stack([power, 1 - power], 1)


def either(masks):
    """Scores of masks: whether either of the first two features is present, and whether not."""
    y = masks[:, :2].any(1)
    scores = np.stack([y, ~y], 1)
    return scores.astype(float)


def text_lengths(texts):
    """Scores of texts: their length, and less it."""
    return [[len(text), -len(text)] for text in texts]


def network(n=3):
    """A convolutional network of n classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        last = nn.Linear(4, n)
        return nn.Sequential(*layers, last).eval()


NETWORK = network()
EITHER = xr.function(either, D, target=0)
PICTURE = xr.image(IMAGE, NETWORK, segmentation=TILES, target=0)
SCORES = np.array([.4, .3, .2, .1])


def occluded(instance):
    """The scores of occlusion."""
    return xr.explain(instance, "occlusion").scores


# the face: functions of good arguments, and the bad values that each argument is given

CASES: dict[str, tuple] = {}
NO_INSTANCES = [None, 3, "abc", either, np.ones(D), [3], {"instance": EITHER}, NETWORK]
NO_CACHES = ["c", 3, True, {}, b"c", either]
NO_TARGETS = [9, -1, *NO_COUNTS[1:]]
NO_SAMPLE_SIZES = [0, -1, *NO_COUNTS[1:]]
NO_SHARES = [0, -1, 2, None, "junk", np.nan, [.5], True, 1j]
CHANNELS_LAST = IMAGE.permute(1, 2, 0)
LEVELS = IMAGE*255                  # 0 to 255, not 0 to 1
OF_OBJECTS = np.full((3, 8, 8), None, object)
OF_CHARACTERS = np.array([["a"]*8]*8)
bad = partial(enter, CASES)


@bad(
    image=[
        None, 3, "", " ", [], {}, [IMAGE], IMAGE[None], IMAGE[:0], IMAGE[:, :0], CHANNELS_LAST,
        CHANNELS_LAST.numpy(), LEVELS, LEVELS.byte(), LEVELS.long(), IMAGE - 1, IMAGE*np.nan,
        IMAGE*np.inf, IMAGE.to(torch.complex64), OF_OBJECTS, OF_CHARACTERS, either, b"photo.png"],
    model=[*NO_FUNCTIONS, "", "resnet", "hf:", "torchvision:no", b"resnet", [NETWORK]],
    segmentation=[
        None, "voronoi", "", 3, TILES.float(), TILES + 1, TILES[:8], TILES[None], -TILES,
        TILES == 0, np.full((SIDE, SIDE), np.nan), [["a"]*SIDE]*SIDE, [[1], [1, 2]],
        lambda image: None, lambda image: "abc", lambda image: image, lambda image: TILES + 1,
        lambda image: TILES[:4], NO_FUNCTIONS[-1]],
    removal=["blur", 3, Blur, Constant, [Blur(2.)], {}, np.ones(3)],
    cache=NO_CACHES,
)
def image(image=IMAGE, model=colours, segmentation=TILES, **others):
    return xr.image(image, model, segmentation=segmentation, **others)


@bad(target=NO_TARGETS)
def image_of_class(target):
    instance = xr.image(IMAGE, colours, segmentation=TILES, target=target)
    return occluded(instance)


@bad(
    text=[None, 3, "", " ", b"a film", ["a", "film"], np.array("a"), either, "\ud800"],
    model=[*NO_FUNCTIONS, "", "bert", NETWORK, [text_lengths]],
    removal=[None, "", "drop", 3, ["attention"]],
    cache=NO_CACHES,
)
def text(text="a film", model=text_lengths, **others):
    return xr.text(text, model, **others)


@bad(target=NO_TARGETS)
def text_of_class(target):
    instance = xr.text("a film", text_lengths, target=target)
    return occluded(instance)


@bad(row=[None, 3, *NO_VECTORS, np.ones((1, D)), {"a": 1.}], cache=NO_CACHES)
def tabular(row=SCORES, **others):
    return xr.tabular(row, either, **others)


@bad(model=[*NO_FUNCTIONS, "model", [either]])
def tabular_model(model):
    return xr.tabular(SCORES, model)


@bad(background=[*NO_VECTORS, ONE_SCORE_MORE, np.nan, np.ones((0, D))])
def tabular_background(background):
    return xr.tabular(SCORES, np.cumsum, background=background)


@bad(
    waveform=[
        None, "abc", 3, [], BOTH*9, BOTH[None], BOTH*np.nan, BOTH[:99], BOTH*1j, ["a"]*999,
        np.array([None]*999), BOTH.astype(str), (BOTH*30_000).astype(np.int16), either],
    model=[*NO_FUNCTIONS, "model", [loud]],
    cells=[
        None, 3, "22", (), (2,), (2, 2, 2), (0, 2), (2, -1), (2., 2), (2, 500), (None, 2),
        ("2", "2"), {2: 2}, (True, 2), np.nan, {2, 3}],
    cache=NO_CACHES,
)
def audio(waveform=BOTH, model=loud, cells=(2, 2), **others):
    return xr.audio(waveform, model, cells=cells, **others)


@bad(target=NO_TARGETS)
def audio_of_class(target):
    instance = xr.audio(BOTH, loud, cells=(2, 2), target=target)
    return occluded(instance)


@bad(f=[*NO_FUNCTIONS, "f"], n_features=[0, -1, *NO_COUNTS])
def function(f=either, n_features=D):
    return xr.function(f, n_features)


@bad(target=NO_TARGETS)
def function_of_class(target):
    instance = xr.function(either, D, target=target)
    return occluded(instance)


@bad(
    instance=NO_INSTANCES,
    method=[None, 3, "", "grad-cam", ["lime"], np.nan, either, METHODS["lime"]],
)
def explain(instance=EITHER, **others):
    return xr.explain(instance, **others)


@bad(n_samples=NO_SAMPLE_SIZES)
def lime(n_samples):
    return xr.explain(EITHER, "lime", n_samples)


@bad(seed=NO_SEEDS)
def lime_of_16(seed):
    return xr.explain(EITHER, "lime", 16, seed)


@bad(option=["sigmas", "steps", "value", "n", ""])
def lime_with(option):
    return xr.explain(EITHER, "lime", **{option: 1.})


@bad(n_samples=NO_SAMPLE_SIZES, seed=NO_SEEDS, target=NO_TARGETS)
def occlusion_that_draws_nothing(**others):
    return xr.explain(EITHER, "occlusion", **others)


@bad(
    instance=NO_INSTANCES,
    metrics=[
        "jaccard", "", [], 3, ["auc"], [None], [["jaccard"]], {"jaccards": 1}, either, b"jaccard",
        np.nan, ["ssim"]],
)
def evaluate(instance=EITHER, **metrics):
    return xr.evaluate(instance, SCORES, **metrics)


@bad(
    attributions=[
        *NO_SCORES, {}, {"x": []}, {"x": None}, [None], [[]], [SCORES, SCORES[:3]],
        [SCORES, None], np.ones((0, D)), [Attribution(SCORES, "a", 0, 0), "abc"],
        [Attribution(SCORES, "a", 0, 0), Attribution(SCORES, "a", 1, 0)],
        Attribution(SCORES[:2], "a", 0, 0), Attribution(SCORES, "a", 5, 0)],
    seed=NO_SEEDS,
)
def insertion(attributions=SCORES, **seed):
    return xr.evaluate(EITHER, attributions, ["insertion"], **seed)


@bad(attribution=[*NO_SCORES, {}, {"mine": SCORES}, [None], [[]]])
def insertion_of_one(attribution):
    return xr.evaluate(EITHER, {"mine": attribution}, ["insertion"])


@bad(
    instance=NO_INSTANCES,
    selection=[
        *NO_SCORES, {}, [1, 0, 1, 0], np.array([1, 0, 1, 0], np.uint8), np.ones((1, D), bool),
        np.ones(D + 1, bool), torch.tensor([1, 0, 0, 0]), "1010"],
    radius=[9, -1, *NO_COUNTS],
    share=[*NO_SHARES, np.inf, .1],
    eps=NO_SHARES,
    interval=[None, "exact", 3, ["hoeffding"]],
)
def certify(instance=EITHER, selection=SCORES, radius=1, **others):
    return xr.certify(instance, selection, radius, **others)


@bad(share=[*NO_SHARES, np.inf])
def certify_a_mask(share):
    return xr.certify(EITHER, SCORES > .3, 1, share)


@bad(option=["sigma", "value", "alpha", "epsilon", ""])
def certify_with(option):
    return xr.certify(EITHER, SCORES, 1, **{option: 1.})


@bad(instance=NO_INSTANCES)
def method(instance):
    return METHODS["occlusion"](instance)


@bad(instance=NO_INSTANCES)
def metric(instance):
    return METRICS["insertion"](instance, SCORES)


@bad(attribution=[*NO_SCORES, {}, [None]])
def metric_of_two(attribution):
    return METRICS["jaccard"](EITHER, attribution)


@bad(instance=NO_INSTANCES)
def metrics_applicable(instance):
    return applicable(instance)


@bad(target=[None, *NO_TARGETS])
def explained_as(target):
    return EITHER.explained_as(target)


@bad(
    masks=[
        None, "abc", True, 3, [], [[]], [True]*D, np.ones((2, D)), np.ones((2, D), int),
        np.ones((2, D + 1), bool), np.ones((0, D), bool), [[None]*D], np.ones((2, D), complex),
        torch.ones(2, D, dtype=torch.bfloat16), {"a": 1}, either],
)
def scores_of(masks):
    return EITHER(masks)


@bad(target=[None, *NO_TARGETS])
def scores_of_class(target):
    return EITHER.of_class(MASK, target)


NO_FACTORS = [None, "abc", 3, [], [["a"]*D], np.ones(D), np.ones((2, D + 1)), np.ones((2, D, 2))]
NO_FACTORS += [np.ones((2, D))*1j, np.full((2, D), np.nan)]


@bad(noise=NO_FACTORS)
def add(noise):
    return PICTURE.add(noise)


@bad(factors=NO_FACTORS)
def scale(factors):
    return PICTURE.scale(factors)


@bad(segments=[None, "grid", 3, TILES.float(), TILES + 1, TILES[:8], either])
def resegment(segments):
    return PICTURE.resegment(segments)


@bad(max_bytes=[0, -1, *NO_COUNTS])
def cache(max_bytes):
    return xr.Cache("nowhere", max_bytes)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_a_bad_value_is_refused_by_name(tally, case):
    call, argument, values = CASES[case]
    for value in values:
        attempt(tally, partial(call, **{argument: value}), argument, value)


# where messages go

@pytest.mark.parametrize("call, argument", [
    (lambda: xr.image(IMAGE[:, :9, :9], colours, segmentation="grid"), "segmentation"),
    (lambda: xr.image(IMAGE, "resnet", segmentation=TILES), "model"),
    (lambda: xr.text("a film", "bert"), "model"),
    (lambda: xr.audio(BOTH[:99], loud), "waveform"),
    (lambda: xr.image(IMAGE, colours, segmentation=TILES + 1), "segmentation"),
    (lambda: xr.image(IMAGE, colours, segmentation=lambda image: image), "segmentation"),
    (lambda: xr.certify(EITHER, [1, 0, 1, 0], 1), "selection"),
    (lambda: xr.certify(None, SCORES, 1), "instance")])
def test_the_message_begins_with_the_argument_that_was_given(call, argument):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    words = str(caught.value)
    assert words.startswith(argument)


# targets

METHODS_OF_ALL_KINDS = ["occlusion", "saliency", "captum_saliency", "gradcam", "lime"]
NO_CLASS_7 = r"target is 7; allowed: a whole number from 0 to 2"


@pytest.mark.parametrize("method", METHODS_OF_ALL_KINDS)
def test_a_class_that_there_is_not_is_refused_at_once_where_classes_are_counted(method):
    occluded(PICTURE)
    with pytest.raises(ValueError, match=NO_CLASS_7):
        xr.explain(PICTURE, method, target=7)


@pytest.mark.parametrize("method", METHODS_OF_ALL_KINDS)
def test_a_class_that_there_is_not_is_refused_at_the_first_pass(method):
    unasked = xr.image(IMAGE, network(), segmentation=TILES, target=7)
    with pytest.raises(ValueError, match=NO_CLASS_7):
        xr.explain(unasked, method)


def test_named_classes_are_counted_without_a_pass():
    image = random_image(32)
    tiles = grid(image, 16)
    with pytest.raises(ValueError, match="target is 3; allowed: a whole number from 0 to 2"):
        xr.image(image, small_classifier(), segmentation=tiles, target=3)


# models that answer anything: an instance of each kind, whose model answers in a form

def image_in(form):
    def model(images):
        shades = images.mean((2, 3)).double()
        return form(shades.numpy())

    return xr.image(IMAGE, model, segmentation=TILES, target=0)


def text_in(form):
    def model(texts):
        lengths = np.array([len(text) for text in texts])
        y = lengths/9
        return form(np.stack([y, 1. - y], 1))

    return xr.text("a good film", model, target=0)


def audio_in(form):
    def model(waveforms):
        scores = loud(waveforms).double()
        return form(scores.numpy())

    return xr.audio(BOTH, model, cells=(2, 2), target=0)


def tabular_in(form):
    def model(rows): return form(rows[:, :2])
    return xr.tabular(SCORES, model, target=0)


def function_in(form):
    def model(masks): return form(either(masks))
    return xr.function(model, D, target=0)


NETWORKS_IN = [image_in, text_in, audio_in]
KINDS_IN = [*NETWORKS_IN, tabular_in, function_in]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind_in", KINDS_IN)
@pytest.mark.parametrize("name, form", {
    "None": lambda y: None,
    "a number": lambda y: 3.,
    "a text": lambda y: "cat",
    "texts": lambda y: ["cat"]*len(y),
    "three dimensions": lambda y: y[:, None],
    "NaN": lambda y: y*np.nan,
    "infinite": lambda y: y/0.,
    "complex": lambda y: y*1j,
    "one row more": lambda y: np.concatenate([y, y[:1]]),
    "one row only": lambda y: y[:1],
    "no column": lambda y: y[:, :0],
    "n x 2 x 2": lambda y: np.ones((len(y), 2, 2)),
    "objects": lambda y: np.full(y.shape, None, object),
    "a tuple of two": lambda y: (y, y),
    "a dict": lambda y: {"scores": y},
    "labels": lambda y: [{"label": "cat", "score": 1.}]*len(y),
}.items())
def test_an_answer_that_is_no_scores_is_refused(tally, kind_in, name, form):
    instance = kind_in(form)
    attempt(tally, lambda: occluded(instance), "returned", name)


@pytest.mark.parametrize("kind_in", NETWORKS_IN)
def test_an_answer_of_one_dimension_is_refused(tally, kind_in):
    """Of rows and masks it is one column."""
    instance = kind_in(lambda y: y[:, 0])
    attempt(tally, lambda: occluded(instance), "returned", "one dimension")


def is_the_same(tally, kind_in, name, form):
    """Count an answer in some form, which should be as an array is."""
    expected = occluded(kind_in(np.asarray))
    found = occluded(kind_in(form))
    near = np.allclose(found, expected, atol=2e-2)
    outcome = "right" if near else "wrong"
    tally.add(outcome, f"{name}: {found} for {expected}")


@pytest.mark.parametrize("kind_in", KINDS_IN)
@pytest.mark.parametrize("name, form", {
    "array": lambda y: y,
    "list": lambda y: y.tolist(),
    "tensor": lambda y: torch.tensor(y),
    "half": lambda y: torch.tensor(y).half(),
    "bfloat16": lambda y: torch.tensor(y).bfloat16(),
    "with a gradient": lambda y: torch.tensor(y, requires_grad=True),
}.items())
def test_an_answer_in_any_form_is_the_same(tally, kind_in, name, form):
    is_the_same(tally, kind_in, name, form)


@pytest.mark.parametrize("kind_in", [*NETWORKS_IN, tabular_in])
@pytest.mark.parametrize("name, form", {
    "tuple of one": lambda y: (y,),
    "dict of logits": lambda y: {"logits": y},
}.items())
def test_an_answer_as_networks_wrap_it_is_the_same(tally, kind_in, name, form):
    is_the_same(tally, kind_in, name, form)


def test_whole_numbers_above_float32_stay_what_they_are():
    instance = xr.function(lambda masks: 2**24 + masks.sum(1), 3)
    scores = occluded(instance)
    assert scores.tolist() == [1, 1, 1]


class Changing:
    """A model whose number of classes changes."""

    def __init__(self): self.n = 2

    def __call__(self, masks):
        self.n += 1
        return np.ones((len(masks), self.n))


def test_a_model_whose_number_of_scores_changes_is_refused(tally):
    instance = xr.function(Changing(), 3, target=0)
    instance(np.ones((1, 3), bool))
    no_feature = np.zeros((1, 3), bool)
    attempt(tally, lambda: instance(no_feature), "returned", "more classes")


def test_an_error_of_the_model_is_its_own():
    def breaks(masks): raise ZeroDivisionError("mine")
    instance = xr.function(breaks, 3, target=0)
    with pytest.raises(ZeroDivisionError, match="mine"):
        occluded(instance)


class Dropping(nn.Module):
    """A network that differs between training and evaluation, of sounds."""

    def __init__(self):
        super().__init__()
        self.dropped = nn.Dropout(.5)

    def forward(self, waveforms): return loud(self.dropped(waveforms))


def occluded_sound(model):
    instance = xr.audio(BOTH, model, cells=(2, 2))
    return occluded(instance)


def test_a_network_of_sounds_is_asked_in_evaluation_mode():
    listens = Dropping()
    first = occluded_sound(listens)
    second = occluded_sound(listens)
    assert np.array_equal(first, second)
    assert listens.training
    with torch.no_grad():
        exact = occluded_sound(loud)
    assert np.allclose(first, exact)


# caches

def test_a_cache_that_stores_nothing_says_so(tmp_path):
    def model(rows): return rows.sum(1)
    cache = xr.Cache(tmp_path)
    with pytest.warns(UserWarning, match=r"cache is not used.*identity\(\)"):
        xr.tabular(SCORES, model, cache=cache)
    assert not list(tmp_path.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.tabular(SCORES, model)


# images in the forms that people have

def test_a_file_that_there_is_not_is_named():
    with pytest.raises(FileNotFoundError, match=r"no such file\.png"):
        xr.image("no such file.png", colours)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_pictures_of_odd_kinds(tally, mode):
    picture = Image.new(mode, (SIDE, SIDE))
    instance = xr.image(picture, colours, segmentation=TILES)
    outcome = "right" if instance.d == D else "wrong"
    tally.add(outcome, mode)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_image_in_any_precision(dtype):
    exact = xr.image(IMAGE, NETWORK, segmentation=TILES)
    found = xr.image(IMAGE.to(dtype), NETWORK, segmentation=TILES)
    assert np.allclose(occluded(found), occluded(exact), atol=1e-2)
