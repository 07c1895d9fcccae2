"""A digest is of content, and a file is written as a whole."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro.ground import (
    digest,
    read_object,
    read_table,
    read_text,
    root,
    sha256,
    stamp,
    write_atomically,
)

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


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._one", "one~", "#one#",
                                  ".one.swp", "one.bak", "__MACOSX/a", ".ipynb_checkpoints/a"])
def test_what_systems_and_editors_leave_damages_no_folder(tmp_path, name):
    (tmp_path/"one").write_text("1")
    before = sha256(tmp_path)
    (tmp_path/name).parent.mkdir(exist_ok=True)
    (tmp_path/name).write_text("left behind")
    assert sha256(tmp_path) == before
    (tmp_path/"two").write_text("2")
    assert sha256(tmp_path) != before


def test_the_checksum_of_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*missing"):
        sha256(tmp_path/"missing")


SETTINGS = ["[DEFAULT]\nlib_name = other\nnbs_path = nbs\n", "[DEFAULT]\n", "",
            "lib_name = xai_repro_more\n", "# lib_name = xai_repro\n", "\0"]


@pytest.mark.parametrize("text", SETTINGS)
def test_another_project_of_nbdev_is_not_the_root(tmp_path, monkeypatch, text):
    (tmp_path/"nbs").mkdir()
    (tmp_path/"settings.ini").write_text(text)
    (tmp_path/"deep").mkdir()
    monkeypatch.delenv("XAI_REPRO_ROOT")
    for folder in (tmp_path, tmp_path/"deep"):
        monkeypatch.chdir(folder)
        assert (root()/"xai_repro").is_dir()
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_name = xai_repro\n")
    assert root() == tmp_path


def test_a_wrong_root_is_named(tmp_path, monkeypatch):
    (tmp_path/"file").touch()
    for name in ("missing", "file"):
        monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path/name))
        with pytest.raises(FileNotFoundError, match=f"XAI_REPRO_ROOT is .*{name}.*no folder"):
            root()


DAMAGED = [b"", b"\0"*9, b"[1, 2]", b'{"a": ', b"\xff\xfe", b"["*100_000, b"3", b"null"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path/"run.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json is "):
        read_object(path)
    path.write_text('{"a": "ü"}', encoding="utf-8")
    assert read_object(path) == {"a": "ü"}
    assert read_text(path) == '{"a": "ü"}'


TABLES = {
    b"": "table.csv is no table in csv",
    b'a,b\n1,"2': "table.csv is no table in csv",
    b"a\n1\n2,3\n": "table.csv is no table in csv",
    b"\xff": "table.csv is no table in csv",
    b"\0\0": "table.csv has no column 'a'",
    b"b\n1\n": "table.csv has no column 'a'; its columns: 'b'",
    b"a\n1\n\nfew\n": "table.csv has 'few' in line",
}


@pytest.mark.parametrize("content, told", TABLES.items(), ids=range(len(TABLES)))
def test_a_damaged_table_is_named_and_its_column(tmp_path, content, told):
    path = tmp_path/"table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_table(path, ["a"], ["a"])
    assert told in str(error.value)
    path.write_text("a,b\n1,x\n,y\n")
    assert read_table(path, ["a"], ["a"]).b.tolist() == ["x", "y"]
