"""The public face with every kind of bad value, and models that answer anything."""
import warnings

import numpy as np
import pytest
import torch
from front_values import D, NO_COUNTS, NO_FUNCTIONS, NO_SCORES, NO_SEEDS, attempt
from PIL import Image
from small_inputs import BOTH
from torch import nn

import xai_repro as xr
from xai_repro.evaluate.metrics import METRICS, applicable
from xai_repro.explain.attribution import Attribution
from xai_repro.explain.methods import METHODS
from xai_repro.inputs.removal import Blur, Constant
from xai_repro.inputs.segmentation import grid

SIDE = 16
IMAGE = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
TILES = grid(IMAGE, 8)           # four squares


def colours(images): return images.mean((2, 3))


def loud(waveforms):
    power = (waveforms**2).mean(1)
    return torch.stack([power, 1 - power], 1)


def either(masks):
    y = masks[:, :2].any(1)
    return np.stack([y, ~y], 1).astype(float)


def network(n=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(4, n)).eval()


NETWORK = network()
EITHER = xr.function(either, D, target=0)
PICTURE = xr.image(IMAGE, NETWORK, segmentation=TILES, target=0)
SCORES = np.array([.4, .3, .2, .1])


def text_lengths(texts): return [[len(text), -len(text)] for text in texts]


# what each argument of the face is given

CALLS = {
    "image.image": lambda v: xr.image(v, colours, segmentation=TILES),
    "image.model": lambda v: xr.image(IMAGE, v, segmentation=TILES),
    "image.segmentation": lambda v: xr.image(IMAGE, colours, segmentation=v),
    "image.removal": lambda v: xr.image(IMAGE, colours, segmentation=TILES, removal=v),
    "image.target": lambda v: _asked(xr.image(IMAGE, colours, segmentation=TILES, target=v)),
    "image.cache": lambda v: xr.image(IMAGE, colours, segmentation=TILES, cache=v),
    "text.text": lambda v: xr.text(v, text_lengths),
    "text.model": lambda v: xr.text("a film", v),
    "text.removal": lambda v: xr.text("a film", text_lengths, removal=v),
    "text.target": lambda v: _asked(xr.text("a film", text_lengths, target=v)),
    "text.cache": lambda v: xr.text("a film", text_lengths, cache=v),
    "tabular.row": lambda v: xr.tabular(v, either),
    "tabular.model": lambda v: xr.tabular(SCORES, v),
    "tabular.background": lambda v: xr.tabular(SCORES, np.cumsum, background=v),
    "tabular.cache": lambda v: xr.tabular(SCORES, either, cache=v),
    "audio.waveform": lambda v: xr.audio(v, loud, cells=(2, 2)),
    "audio.model": lambda v: xr.audio(BOTH, v, cells=(2, 2)),
    "audio.cells": lambda v: xr.audio(BOTH, loud, cells=v),
    "audio.target": lambda v: _asked(xr.audio(BOTH, loud, cells=(2, 2), target=v)),
    "audio.cache": lambda v: xr.audio(BOTH, loud, cells=(2, 2), cache=v),
    "function.f": lambda v: xr.function(v, D),
    "function.n_features": lambda v: xr.function(either, v),
    "function.target": lambda v: _asked(xr.function(either, D, target=v)),
    "explain.instance": lambda v: xr.explain(v),
    "explain.method": lambda v: xr.explain(EITHER, v),
    "explain.n_samples": lambda v: xr.explain(EITHER, "lime", v),
    "explain.n_samples of none": lambda v: xr.explain(EITHER, "occlusion", v),
    "explain.seed": lambda v: xr.explain(EITHER, "lime", 16, v),
    "explain.seed of none": lambda v: xr.explain(EITHER, "occlusion", seed=v),
    "explain.target": lambda v: xr.explain(EITHER, "occlusion", target=v),
    "explain.option": lambda v: xr.explain(EITHER, "lime", **{str(v): 1.}),
    "evaluate.instance": lambda v: xr.evaluate(v, SCORES),
    "evaluate.attributions": lambda v: xr.evaluate(EITHER, v, ["insertion"]),
    "evaluate.attribution": lambda v: xr.evaluate(EITHER, {"mine": v}, ["insertion"]),
    "evaluate.metrics": lambda v: xr.evaluate(EITHER, SCORES, v),
    "evaluate.seed": lambda v: xr.evaluate(EITHER, SCORES, ["insertion"], v),
    "certify.instance": lambda v: xr.certify(v, SCORES, 1),
    "certify.selection": lambda v: xr.certify(EITHER, v, 1),
    "certify.radius": lambda v: xr.certify(EITHER, SCORES, v),
    "certify.share": lambda v: xr.certify(EITHER, SCORES, 1, v),
    "certify.share of a mask": lambda v: xr.certify(EITHER, SCORES > .3, 1, v),
    "certify.option": lambda v: xr.certify(EITHER, SCORES, 1, **{str(v): 1.}),
    "certify.eps": lambda v: xr.certify(EITHER, SCORES, 1, eps=v),
    "certify.interval": lambda v: xr.certify(EITHER, SCORES, 1, interval=v),
    "METHODS.instance": METHODS["occlusion"],
    "METRICS.instance": lambda v: METRICS["insertion"](v, SCORES),
    "METRICS.attribution": lambda v: METRICS["jaccard"](EITHER, v),
    "applicable.instance": applicable,
    "explained_as.target": EITHER.explained_as,
    "instance.masks": EITHER,
    "instance.of_class": lambda v: EITHER.of_class(np.ones((1, D), bool), v),
    "instance.add": PICTURE.add,
    "instance.scale": PICTURE.scale,
    "resegment.segments": PICTURE.resegment,
    "Cache.max_bytes": lambda v: xr.Cache("nowhere", v),
}


def _asked(instance): return xr.explain(instance, "occlusion")


NO_INSTANCES = [None, 3, "abc", either, np.ones(D), [EITHER], {"instance": EITHER}, NETWORK]
NO_CACHES = ["c", 3, True, {}, b"c", either]
NO_TARGETS = [9, -1, *NO_COUNTS[1:]]
BAD = {
    "image.image": [
        None, 3, "", " ", [], {}, IMAGE[None], IMAGE[:1], IMAGE[:, :0], IMAGE*255,
        IMAGE - 1, IMAGE*np.nan, IMAGE*np.inf, (IMAGE*255).byte(), (IMAGE*255).long(),
        IMAGE.to(torch.complex64), IMAGE.permute(1, 2, 0), np.full((3, 8, 8), None, object),
        np.array([["a"]*8]*8), either, b"photo.png", [IMAGE], IMAGE.permute(1, 2, 0).numpy()],
    "image.model": [*NO_FUNCTIONS, "", "resnet", "hf:", "torchvision:no", b"resnet", [NETWORK]],
    "image.segmentation": [
        None, "voronoi", "", 3, TILES.float(), TILES + 1, TILES[:8], TILES[None], -TILES,
        TILES == 0, np.full((SIDE, SIDE), np.nan), [["a"]*SIDE]*SIDE, [[1], [1, 2]],
        lambda image: None, lambda image: "abc", lambda image: image, lambda image: TILES + 1,
        lambda image: TILES[:4], NO_FUNCTIONS[-1]],
    "image.removal": ["blur", 3, Blur, Constant, [Blur(2.)], {}, np.ones(3)],
    "image.target": NO_TARGETS,
    "image.cache": NO_CACHES,
    "text.text": [None, 3, "", " ", b"a film", ["a", "film"], np.array("a"), either, "\ud800"],
    "text.model": [*NO_FUNCTIONS, "", "bert", NETWORK, [text_lengths]],
    "text.removal": [None, "", "drop", 3, ["attention"]],
    "text.target": NO_TARGETS,
    "text.cache": NO_CACHES,
    "tabular.row": [*NO_SCORES[:8], *NO_SCORES[9:], np.ones((1, D)), {"a": 1.}],
    "tabular.model": [*NO_FUNCTIONS, "model", [either]],
    "tabular.background": [*NO_SCORES[1:2], *NO_SCORES[3:], np.nan, np.ones((0, D))],
    "tabular.cache": NO_CACHES,
    "audio.waveform": [
        None, "abc", 3, [], BOTH*9, BOTH[None], BOTH*np.nan, BOTH[:99], BOTH*1j, ["a"]*999,
        np.array([None]*999), BOTH.astype(str), (BOTH*30_000).astype(np.int16), either],
    "audio.model": [*NO_FUNCTIONS, "model", [loud]],
    "audio.cells": [
        None, 3, "22", (), (2,), (2, 2, 2), (0, 2), (2, -1), (2., 2), (2, 500), (None, 2),
        ("2", "2"), {2: 2}, (True, 2), np.nan, {2, 3}],
    "audio.target": NO_TARGETS,
    "audio.cache": NO_CACHES,
    "function.f": [*NO_FUNCTIONS, "f"],
    "function.n_features": [0, -1, *NO_COUNTS],
    "function.target": NO_TARGETS,
    "explain.instance": NO_INSTANCES,
    "explain.method": [None, 3, "", "grad-cam", ["lime"], np.nan, either, METHODS["lime"]],
    "explain.n_samples": [0, -1, *NO_COUNTS[1:]],
    "explain.n_samples of none": [0, -1, *NO_COUNTS[1:]],
    "explain.seed": NO_SEEDS,
    "explain.seed of none": NO_SEEDS,
    "explain.target": NO_TARGETS,
    "explain.option": ["sigmas", "steps", "value", "n", ""],
    "evaluate.instance": NO_INSTANCES,
    "evaluate.attributions": [
        *NO_SCORES, {}, {"x": []}, {"x": None}, [None], [[]], [SCORES, SCORES[:3]],
        [SCORES, None], np.ones((0, D)), [Attribution(SCORES, "a", 0, 0), "abc"],
        [Attribution(SCORES, "a", t, 0) for t in (0, 1)], Attribution(SCORES[:2], "a", 0, 0),
        Attribution(SCORES, "a", 5, 0)],
    "evaluate.attribution": [*NO_SCORES, {}, {"mine": SCORES}, [None], [[]]],
    "evaluate.metrics": ["jaccard", "", [], 3, ["auc"], [None], [["jaccard"]], {"jaccards": 1},
                         either, b"jaccard", np.nan, ["ssim"]],
    "evaluate.seed": NO_SEEDS,
    "certify.instance": NO_INSTANCES,
    "certify.selection": [
        *NO_SCORES, {}, [1, 0, 1, 0], np.array([1, 0, 1, 0], np.uint8), np.ones((1, D), bool),
        np.ones(D + 1, bool), torch.tensor([1, 0, 0, 0]), "1010"],
    "certify.radius": [9, -1, *NO_COUNTS],
    "certify.share": [0, -1, 2, None, "junk", np.nan, np.inf, [.5], True, 1j, .1],
    "certify.share of a mask": [0, -1, 2, None, "junk", np.nan, np.inf, [.5], True, 1j],
    "certify.option": ["sigma", "value", "alpha", "epsilon", ""],
    "certify.eps": [0, -1, 2, None, "junk", np.nan, [.5], True, 1j],
    "certify.interval": [None, "exact", 3, ["hoeffding"]],
    "METHODS.instance": NO_INSTANCES,
    "METRICS.instance": NO_INSTANCES,
    "METRICS.attribution": [*NO_SCORES, {}, [None]],
    "applicable.instance": NO_INSTANCES,
    "explained_as.target": [None, *NO_TARGETS],
    "instance.masks": [
        None, "abc", True, 3, [], [[]], [True]*D, np.ones((2, D)), np.ones((2, D), int),
        np.ones((2, D + 1), bool), np.ones((0, D), bool), [[None]*D], np.ones((2, D), complex),
        torch.ones(2, D, dtype=torch.bfloat16), {"a": 1}, either],
    "instance.of_class": [None, *NO_TARGETS],
    "instance.add": [
        None, "abc", 3, [], np.ones(D), np.ones((2, D + 1)), np.full((2, D), np.nan), [["a"]*D],
        np.ones((2, D))*1j, np.ones((2, D, 2))],
    "instance.scale": [
        None, "abc", 3, [], np.ones(D), np.ones((2, D + 1)), np.full((2, D), np.nan), [["a"]*D],
        np.ones((2, D))*1j, np.ones((2, D, 2))],
    "resegment.segments": [None, "grid", 3, TILES.float(), TILES + 1, TILES[:8], either],
    "Cache.max_bytes": [0, -1, *NO_COUNTS],
}
NAMED = {       # an argument whose value is named by another word
    "instance.of_class": "target",
    "instance.add": "noise",
    "instance.scale": "factors",
    "resegment.segments": "segments",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", CALLS)
def test_a_bad_value_is_refused_by_name(tally, entry):
    argument = NAMED.get(entry, entry.partition(".")[2].partition(" ")[0])
    for value in BAD[entry]:
        attempt(tally, lambda value=value: CALLS[entry](value), argument, value)


def test_every_argument_of_the_face_is_tried():
    assert CALLS.keys() == BAD.keys()


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
    with pytest.raises((TypeError, ValueError)) as caught: call()
    assert str(caught.value).startswith(argument)


# targets

@pytest.mark.parametrize("method", ["occlusion", "saliency", "captum_saliency", "gradcam", "lime"])
@pytest.mark.parametrize("early", [True, False])
def test_a_class_that_there_is_not(method, early):
    """Refused at once where classes are counted, else at the first pass, in the same words."""
    words = r"target is 7; allowed: a whole number from 0 to 2"
    if early:
        xr.explain(PICTURE, "occlusion")
        with pytest.raises(ValueError, match=words): xr.explain(PICTURE, method, target=7)
        return
    unasked = xr.image(IMAGE, network(), segmentation=TILES, target=7)
    with pytest.raises(ValueError, match=words): xr.explain(unasked, method)


def test_named_classes_are_counted_without_a_pass():
    from small_models import small_classifier
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="target is 3; allowed: a whole number from 0 to 2"):
        xr.image(image, small_classifier(), segmentation=grid(image, 16), target=3)


# models that answer anything

NO_ANSWERS = {
    "None": lambda y: None,
    "a number": lambda y: 3.,
    "a text": lambda y: "cat",
    "texts": lambda y: ["cat"]*len(y),
    "one dimension": lambda y: y[:, 0],
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
}
ANSWERS = {
    "array": lambda y: y,
    "list": lambda y: y.tolist(),
    "tensor": lambda y: torch.tensor(y),
    "half": lambda y: torch.tensor(y).half(),
    "bfloat16": lambda y: torch.tensor(y).bfloat16(),
    "tuple of one": lambda y: (y,),
    "dict of logits": lambda y: {"logits": y},
    "with a gradient": lambda y: torch.tensor(y, requires_grad=True),
}


def as_array(images): return images.mean((2, 3)).double().numpy()


def sizes_of(texts): return np.array([[len(text)/9, 1. - len(text)/9] for text in texts])


MAKERS = {
    "image": lambda form: xr.image(
        IMAGE, lambda images: form(as_array(images)), segmentation=TILES, target=0),
    "text": lambda form: xr.text("a good film", lambda texts: form(sizes_of(texts)), target=0),
    "audio": lambda form: xr.audio(
        BOTH, lambda waves: form(loud(waves).double().numpy()), cells=(2, 2), target=0),
    "tabular": lambda form: xr.tabular(SCORES, lambda rows: form(rows[:, :2]), target=0),
    "function": lambda form: xr.function(lambda masks: form(either(masks)), D, target=0),
}
ONE_COLUMN = ("tabular", "function")      # [n] is one column there


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MAKERS)
def test_an_answer_that_is_no_scores_is_refused(tally, kind):
    for name, form in NO_ANSWERS.items():
        if name == "one dimension" and kind in ONE_COLUMN: continue
        made = MAKERS[kind](form)
        attempt(tally, lambda made=made: xr.explain(made, "occlusion"), "returned", name)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_answer_in_any_form_is_the_same(tally, kind):
    expected = xr.explain(MAKERS[kind](ANSWERS["array"]), "occlusion").scores
    for name, form in ANSWERS.items():
        if kind == "function" and name in ("tuple of one", "dict of logits"): continue
        found = xr.explain(MAKERS[kind](form), "occlusion").scores
        near = np.allclose(found, expected, atol=2e-2)
        tally.add("right" if near else "wrong", f"{name}: {found} for {expected}")


def test_whole_numbers_above_float32_stay_what_they_are():
    instance = xr.function(lambda masks: 2**24 + masks.sum(1), 3)
    assert xr.explain(instance, "occlusion").scores.tolist() == [1, 1, 1]


class Changing:
    """A model whose number of classes changes."""

    def __init__(self): self.n = 2

    def __call__(self, masks):
        self.n += 1
        return np.ones((len(masks), self.n))


def test_a_model_whose_number_of_scores_changes_is_refused(tally):
    instance = xr.function(Changing(), 3, target=0)
    instance(np.ones((1, 3), bool))
    attempt(tally, lambda: instance(np.zeros((1, 3), bool)), "returned", "more classes")


def test_an_error_of_the_model_is_its_own():
    def breaks(masks): raise ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError, match="mine"):
        xr.explain(xr.function(breaks, 3, target=0), "occlusion")


class Dropping(nn.Module):
    """A network that differs between training and evaluation, of sounds."""

    def __init__(self):
        super().__init__()
        self.dropped = nn.Dropout(.5)

    def forward(self, waveforms): return loud(self.dropped(waveforms))


def test_a_network_of_sounds_is_asked_in_evaluation_mode():
    listens = Dropping()
    first, second = (xr.explain(xr.audio(BOTH, listens, cells=(2, 2)), "occlusion").scores
                     for _ in range(2))
    assert np.array_equal(first, second)
    assert listens.training
    with torch.no_grad():
        exact = xr.explain(xr.audio(BOTH, loud, cells=(2, 2)), "occlusion").scores
    assert np.allclose(first, exact)


# caches

def test_a_cache_that_stores_nothing_says_so(tmp_path):
    cache = xr.Cache(tmp_path)
    with pytest.warns(UserWarning, match=r"cache is not used.*identity\(\)"):
        xr.tabular(SCORES, lambda rows: rows.sum(1), cache=cache)
    assert not list(tmp_path.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.tabular(SCORES, lambda rows: rows.sum(1))


# images in the forms that people have

def test_a_file_that_there_is_not_is_named():
    with pytest.raises(FileNotFoundError, match=r"no such file\.png"):
        xr.image("no such file.png", colours)


def test_pictures_of_odd_kinds(tally):
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"):
        picture = Image.new(mode, (SIDE, SIDE))
        instance = xr.image(picture, colours, segmentation=TILES)
        tally.add("right" if instance.d == D else "wrong", mode)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_image_in_any_precision(dtype):
    exact = xr.explain(xr.image(IMAGE, NETWORK, segmentation=TILES), "occlusion").scores
    found = xr.explain(xr.image(IMAGE.to(dtype), NETWORK, segmentation=TILES), "occlusion").scores
    assert np.allclose(found, exact, atol=1e-2)
