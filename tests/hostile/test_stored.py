"""Stored answers and arrays that were damaged: made anew, named in a warning, never used."""
import os
import warnings

import numpy as np
import pytest

from xai_repro.cache import Cache, Store
from xai_repro.value import MaskFunction

D = 8
W = np.random.default_rng(0).normal(size=(D, 3))
MASKS = np.random.default_rng(1).random((40, D)) < .5


def model(masks):
    """Row by row: the same bits in any batch."""
    return (masks[:, :, None]*W).sum(1)


RIGHT = model(MASKS)


def flipped(content, place):
    """The bytes with one of them changed."""
    changed = bytearray(content)
    changed[place % len(changed)] ^= 0xFF
    return bytes(changed)


DAMAGE = {
    "empty": lambda content: b"",
    "half": lambda content: content[:len(content)//2],
    "a header only": lambda content: content[:100],
    "garbage": lambda content: bytes(range(256))*20,
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"hello",
    "another's": lambda content: content + b"more",
}


def scores(answers):
    """The scores of the masks through what is stored, and the warnings that were given."""
    value = MaskFunction(model, D, answers=answers)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        whole = value(MASKS)
        column = value.of_class(MASKS, 2)
    assert np.array_equal(column, whole[:, 2])
    return whole, [str(warning.message) for warning in given]


def judge_answers(tally, what, path, answers):
    """Right: the model's scores; where they were not read a warning names the file."""
    found, given = scores(answers)
    is_named = all(str(path) in message for message in given)
    right = np.array_equal(found, RIGHT) and is_named
    tally.add("right" if right else "wrong", f"{what}: {given}")


@pytest.mark.parametrize("how", DAMAGE)
def test_answers_are_made_anew(tally, tmp_path, how):
    answers = Cache(tmp_path).answers("a1")
    scores(answers)
    path = answers.path
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    judge_answers(tally, how, path, answers)
    judge_answers(tally, f"{how}, afterwards", path, answers)


def test_no_changed_byte_is_read_as_a_score(tally, tmp_path):
    answers = Cache(tmp_path).answers("a1")
    scores(answers)
    good = answers.path.read_bytes()
    for place in range(0, len(good), max(len(good)//150, 1)):
        answers.path.write_bytes(flipped(good, place))
        judge_answers(tally, f"byte {place}", answers.path, answers)


def test_an_answers_file_that_is_removed_while_it_is_used(tally, tmp_path):
    answers = Cache(tmp_path).answers("a1")
    value = MaskFunction(model, D, answers=answers)
    value(MASKS[:20])
    answers.path.unlink()
    value(MASKS)
    again = MaskFunction(model, D, answers=answers)
    right = np.array_equal(again(MASKS), RIGHT) and again.n_passes == 0
    tally.add("right" if right else "wrong", f"{again.n_passes} passes")


def test_a_folder_in_the_place_of_a_file(tally, tmp_path):
    answers = Cache(tmp_path).answers("a1")
    answers.path.mkdir(parents=True)
    judge_answers(tally, "a folder", answers.path, answers)


def stored(store, key):
    """What the store gives for a key, and the warnings."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        arrays = store.get(key, lambda: {"y": np.arange(100.)})
    return arrays["y"], [str(warning.message) for warning in given]


@pytest.mark.parametrize("how", [how for how in DAMAGE if how != "another's"])
def test_arrays_are_made_anew(tally, tmp_path, how):
    store = Store(str(tmp_path))
    key = "ab"*32
    stored(store, key)
    path = store.path(key)
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    y, given = stored(store, key)
    right = np.array_equal(y, np.arange(100.)) and str(path) in given[0]
    tally.add("right" if right else "wrong", f"{how}: {given}")
    y, given = stored(store, key)
    right = np.array_equal(y, np.arange(100.)) and not given
    tally.add("right" if right else "wrong", f"{how}, afterwards: {given}")


def test_no_changed_byte_is_read_as_a_number(tally, tmp_path):
    store = Store(tmp_path)
    key = "cd"*32
    stored(store, key)
    good = store.path(key).read_bytes()
    for place in range(0, len(good), 3):
        store.path(key).write_bytes(flipped(good, place))
        try:
            y, _ = stored(store, key)
            right = np.array_equal(y, np.arange(100.))
            tally.add("right" if right else "wrong", f"byte {place}")
        except (ValueError, KeyError) as error:
            tally.add("refused" if str(store.path(key)) in str(error) else "wrong", repr(error))


class Payload:
    """What would run a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_objects_are_never_unpickled(tally, tmp_path):
    store = Store(tmp_path)
    key = "ef"*32
    mark = tmp_path/"code-ran"
    store.path(key).parent.mkdir()
    np.savez(store.path(key), y=np.array([Payload(mark)], object))
    with pytest.raises(ValueError, match="never unpickled; allowed: numbers") as caught:
        stored(store, key)
    assert str(store.path(key)) in str(caught.value)
    assert not mark.exists()
    tally.add("refused")
