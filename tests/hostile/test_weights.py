"""Files of weights, heads, records and checkpoints: damaged, or of something else."""
import json
import os
import pickle
import struct
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from xai_repro.zoo import (
    assets,
    autoencoder,
    inpainter,
    models,
    tabular_networks,
    tiny_imagenet,
    training,
)


def header(text, body=b"", length=None):
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def table(offsets, shape=(1, 10)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}


FAR = json.dumps({"linear.weight": table([0, 4_000_000_000])}).encode()
TWICE = json.dumps({"linear.weight": table([0, 40]), "linear.bias": table([0, 4], (1,))}).encode()
BYTES = {
    "huge": header(b"{}", length=2**62),
    "long": header(b"{}", length=99_999_999),
    "outside": header(FAR, b"\0"*40),
    "overlapping": header(TWICE, b"\0"*44),
    "nested": header(b'{"a":' + b"["*5000 + b"]"*5000 + b"}"),
    "a pickle": pickle.dumps({"linear.weight": [1.]}),
    "empty": b"",
    "zeros": b"\0"*500,
    "text": b"hello",
}
NAN = torch.full((1, 10), torch.nan)
TENSORS = {
    "not finite": {"linear.weight": NAN, "linear.bias": torch.zeros(1)},
    "infinite": {"linear.weight": NAN.nan_to_num(torch.inf, torch.inf), "linear.bias": NAN[0, :1]},
    "two outputs": {"linear.weight": torch.zeros(2, 10), "linear.bias": torch.zeros(2)},
    "other names": {"weight": torch.zeros(1, 10), "bias": torch.zeros(1)},
    "one too many": {"linear.weight": torch.zeros(1, 10), "linear.bias": torch.zeros(1),
                     "more": torch.zeros(1)},
}


def write(path, what):
    if what in BYTES: path.write_bytes(BYTES[what])
    elif what in TENSORS: save_file(TENSORS[what], path)
    elif what == "truncated":
        whole = path.with_name("whole.safetensors")
        save_file(TENSORS["two outputs"], whole)
        path.write_bytes(whole.read_bytes()[:-30])
    elif what == "a folder": path.mkdir()


def of_a_head(path): return models.load_head(path.stem)


READERS = {
    "tensors": assets.read_tensors,
    "a table's network": lambda path: tabular_networks.load_checkpoint(path, "linear"),
    "a network": lambda path: training.load_trained(nn.Linear(10, 1), path),
    "the inpainter": inpainter.load_inpainter,
    "a head": of_a_head,
}
# what any reader of one's tensors takes
FINE = {("tensors", "two outputs"), ("tensors", "other names"), ("tensors", "one too many"),
        ("a network", "other names"), ("a head", "other names")}


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    """A project of which data/models is a folder of weights."""
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    folder = tmp_path/"data"/"models"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", [*BYTES, *TENSORS, "truncated", "a folder", "missing"])
def test_weights_that_are_damaged_or_of_something_else_are_named(tally, project, what, reader):
    path = project/f"weights {list(READERS).index(reader)}.safetensors"
    write(path, what)
    try: got = READERS[reader](path)
    except (ValueError, FileNotFoundError) as error:
        named = path.name in str(error)
        tally.add("refused" if named else "wrong", f"{reader}, {what}: {error}")
    else: tally.add("right" if (reader, what) in FINE else "wrong", f"{reader}, {what}: {got}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8])
def test_weights_of_another_precision_are_taken(tmp_path, dtype):
    tensors = {"linear.weight": torch.arange(10)[None].to(dtype),
               "linear.bias": torch.ones(1).to(dtype)}
    save_file(tensors, tmp_path/"a.safetensors")
    network = tabular_networks.load_checkpoint(tmp_path/"a.safetensors", "linear")
    assert network.linears[0].weight.dtype == torch.float32
    assert torch.equal(network.linears[0].weight[0], torch.arange(10.))


@pytest.mark.parametrize("name", ["../x", "../../x", "/etc/x", "a/../../x", "..\\x", "C:\\x",
                                  None, 3, ""])
def test_no_name_leads_out_of_the_project(tally, project, name):
    asks = {"load_head": partial(models.load_head, name),
            "save_head": partial(models.save_head, name, np.zeros((1, 2)), np.zeros(1))}
    if isinstance(name, str) and name: asks["own"] = partial(assets.own, name)
    for asked, ask in asks.items():
        try: ask()
        except (ValueError, TypeError, FileNotFoundError) as error:
            named = "name" in str(error)
            tally.add("refused" if named else "wrong", f"{asked}({name!r}): {error}")
        else: tally.add("wrong", f"{asked}({name!r}) was taken")
    outside = [p for p in project.parent.parent.rglob("*") if p.is_file()]
    tally.add("wrong" if outside else "right", f"{name!r}: {outside}")


ENTRY = """[[entry]]
name = "weights"
kind = "asset"
path = "{path}"
sha256 = "0"
what = ""
source = ""
licence = ""
"""


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "..", "..\\\\a"])
def test_a_manifests_paths_stay_inside_the_cache(project, path):
    (project.parent/"manifest.toml").write_text(ENTRY.format(path=path))
    with pytest.raises(ValueError, match=r"manifest\.toml, entry 'weights': path is .*allowed"):
        assets.entries()


@pytest.mark.parametrize("text", ["[[entry", "entry = 3", '[[entry]]\nname = "a"', "\udcff"])
def test_a_damaged_manifest_is_named(project, text):
    (project.parent/"manifest.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"manifest\.toml"):
        assets.entries()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": 1}', "\0\0"])
def test_a_damaged_record_is_named(project, text):
    path = project/"line.safetensors"
    training.save_trained(nn.Linear(1, 1), path)
    (project/"line.json").write_text(text)
    with pytest.raises(ValueError, match=r"line\.json"):
        training.training_record(path)


def test_a_file_in_the_place_of_a_packages_weights_is_named(tmp_path):
    (tmp_path/"other.pt").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"other\.pt has sha256"):
        assets._verified.__wrapped__(tmp_path/"other.pt", "0"*64)


# checkpoints of trainings

class Evil:
    """What would run where it was unpickled."""

    def __init__(self, mark): self.mark = mark

    def __reduce__(self): return (os.mkdir, (str(self.mark),))


PICTURES = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(k)) for k in range(3)]


def go_on(path, pictures=tuple(PICTURES), steps=2, **options):
    return autoencoder.train(list(pictures), steps, path, every=1, **({"batch": 2} | options))


@pytest.mark.parametrize("what", ["payload", "garbage", "empty", "another", "old", "truncated",
                                  "another network"])
def test_a_checkpoint_that_is_none_is_named_and_nothing_of_it_is_run(tally, tmp_path, what):
    path = tmp_path/"checkpoint.pt"
    mark = tmp_path/"ran"
    whole = tmp_path/"whole.pt"
    go_on(whole)
    if what == "payload": torch.save({"x": Evil(mark)}, path)
    elif what == "garbage": path.write_bytes(b"garbage"*100)
    elif what == "empty": path.write_bytes(b"")
    elif what == "another": torch.save({"other": torch.zeros(3)}, path)
    elif what == "truncated": path.write_bytes(whole.read_bytes()[:-2000])
    else:
        state = torch.load(whole, weights_only=True)
        if what == "old": state["settings"] = [2, 2e-3, 1]
        else: state["network"] = {"weight": torch.zeros(1)}
        torch.save(state, path)
    try: go_on(path)
    except ValueError as error:
        named = "checkpoint.pt" in str(error)
        tally.add("refused" if named else "wrong", f"{what}: {error}")
    else: tally.add("wrong", f"{what} was taken")
    tally.add("wrong" if mark.exists() else "right", f"{what}: code was run")


OTHERS = {
    "other pictures": dict(pictures=[*PICTURES[:2], PICTURES[0]]),
    "another order": dict(pictures=PICTURES[::-1]),
    "a picture more": dict(pictures=[*PICTURES, PICTURES[0]]),
    "another seed": dict(seed=1),
    "another batch": dict(batch=3),
    "another rate": dict(rate=1e-3),
    "more steps": dict(steps=4),
    "another decay": dict(decay=0.),
    "another precision": dict(dtype=torch.bfloat16),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_training_is_refused(tally, tmp_path, other):
    path = tmp_path/"checkpoint.pt"
    network, losses = go_on(path)
    again, same = go_on(path)
    fine = losses.equals(same) and torch.equal(network.encoder[0][0].weight,
                                               again.encoder[0][0].weight)
    tally.add("right" if fine else "wrong", "its own checkpoint was not taken up")
    try: go_on(path, **OTHERS[other])
    except ValueError as error:
        named = "checkpoint.pt is of another training" in str(error)
        tally.add("refused" if named else "wrong", f"{other}: {error}")
    else: tally.add("wrong", f"{other} was taken up")


def test_so_are_those_of_the_other_networks(tally, tmp_path):
    holes = [inpainter.of_pictures(
        [torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(k + s))
         for s in range(2)]) for k in (0, 7)]
    pictures = [tiny_imagenet.Photographs(
        torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8,
                      generator=torch.Generator().manual_seed(k)),
        torch.arange(4), torch.zeros(4, 4, dtype=torch.int64)) for k in (0, 7)]
    trainings = {
        "an inpainter": (partial(inpainter.train, steps=1, every=1, batch=1), holes),
        "a tiny network": (lambda some, checkpoint: tiny_imagenet.learn(
            "cnn_tiny101_s", some, None, 1, checkpoint, batch=2, every=1), pictures),
    }
    for name, (train, (some, others)) in trainings.items():
        path = tmp_path/f"{name}.pt"
        train(some, checkpoint=path)
        try: train(others, checkpoint=path)
        except ValueError as error:
            tally.add("refused" if f"{name}.pt" in str(error) else "wrong", f"{name}: {error}")
        else: tally.add("wrong", f"{name}: other pictures were taken up")
