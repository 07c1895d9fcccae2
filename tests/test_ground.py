"""A digest is of content, and a file is written as a whole."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro.ground import digest, sha256, stamp, write_atomically

LISTS = st.lists(st.integers(), max_size=3)
FLOATS = st.floats(allow_nan=False)
WORDS = st.text(max_size=5)
PART = st.one_of(st.integers(), FLOATS, WORDS, LISTS)
PARTS = st.lists(PART, max_size=4)


@settings(max_examples=100, deadline=None)
@given(a=PARTS, b=PARTS)
def test_a_digest_is_of_content(a, b):
    assert digest(*a) == digest(*a)
    same = repr(a) == repr(b)
    assert (digest(*a) == digest(*b)) == same


def test_a_digest_counts_type_shape_and_values():
    x = np.arange(6.)
    single = x.astype(np.float32)
    values = [x, single, x.reshape(2, 3), x + 1, list(x), torch.arange(6)]
    digests = {digest(v) for v in values}
    assert len(digests) == 6
    assert digest(torch.tensor(single)) == digest(single)


def test_a_digest_of_objects_is_refused():
    with pytest.raises(TypeError, match="part is an array of objects"):
        digest(np.array(["a", "b"], object))


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path/"new"/"file.txt"
    write_atomically(path, lambda temporary: temporary.write_text("first"))
    before = stamp(path)

    def fail(temporary):
        temporary.write_text("half of the sec")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_atomically(path, fail)
    assert path.read_text() == "first"
    assert stamp(path) == before
    assert list(path.parent.iterdir()) == [path], "nothing is left behind"


def test_the_checksum_of_a_folder_is_of_names_and_contents(tmp_path):
    (tmp_path/"a").mkdir()
    (tmp_path/"a"/"one").write_text("1")
    before = sha256(tmp_path)
    assert before != sha256(tmp_path/"a"/"one")
    (tmp_path/"a"/"one").rename(tmp_path/"a"/"two")
    assert sha256(tmp_path) != before
