"""Files of weights, heads, records and checkpoints: damaged, or of something else."""
import json
import os
import pickle
import struct
from functools import partial

import numpy as np
import pytest
import torch
from cases import cases
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
    if length is None: length = len(text)
    return struct.pack("<Q", length) + text + body


def table(offsets, shape=(1, 10)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}


def header_of(body, **tables):
    """A file of tensors with these tables of weight and bias."""
    named = {f"linear.{name}": entries for name, entries in tables.items()}
    text = json.dumps(named)
    return header(text.encode(), body)


FAR = header_of(b"\0"*40, weight=table([0, 4_000_000_000]))
TWICE = header_of(b"\0"*44, weight=table([0, 40]), bias=table([0, 4], (1,)))
NESTED = header(b'{"a":' + b"["*5000 + b"]"*5000 + b"}")
HUGE = header(b"{}", length=2**62)
LONG = header(b"{}", length=99_999_999)
HEADERS = {"huge": HUGE, "long": LONG, "outside": FAR, "overlapping": TWICE, "nested": NESTED}
PICKLE = pickle.dumps({"linear.weight": [1.]})
NO_HEADERS = {"a pickle": PICKLE, "empty": b"", "zeros": b"\0"*500, "text": b"hello"}
BYTES = HEADERS | NO_HEADERS


def linear(weight, bias, **others):
    """The tensors of a linear layer."""
    return {"linear.weight": weight, "linear.bias": bias, **others}


NAN = torch.full((1, 10), torch.nan)
INFINITE = torch.full((1, 10), torch.inf)
WEIGHT = torch.zeros(1, 10)
BIAS = torch.zeros(1)
TENSORS = {
    "not finite": linear(NAN, BIAS),
    "infinite": linear(INFINITE, NAN[0, :1]),
    "two outputs": linear(torch.zeros(2, 10), torch.zeros(2)),
    "other names": {"weight": WEIGHT, "bias": BIAS},
    "one too many": linear(WEIGHT, BIAS, more=torch.zeros(1)),
}


def write(path, what):
    if what in BYTES: path.write_bytes(BYTES[what])
    elif what in TENSORS: save_file(TENSORS[what], path)
    elif what == "truncated":
        whole = path.with_name("whole.safetensors")
        save_file(TENSORS["two outputs"], whole)
        written = whole.read_bytes()
        path.write_bytes(written[:-30])
    elif what == "a folder": path.mkdir()


# what any reader of one's tensors takes
FINE = {
    "tensors": ("two outputs", "other names", "one too many"),
    "a network": ("other names",),
    "a head": ("other names",),
}


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    """A project of which data/models is a folder of weights."""
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    folder = tmp_path/"data"/"models"
    folder.mkdir(parents=True)
    return folder


@cases("reader, read", {
    "tensors": assets.read_tensors,
    "a table's network": lambda path: tabular_networks.load_checkpoint(path, "linear"),
    "a network": lambda path: training.load_trained(nn.Linear(10, 1), path),
    "the inpainter": inpainter.load_inpainter,
    "a head": lambda path: models.load_head(path.stem),
})
@pytest.mark.parametrize("what", [*BYTES, *TENSORS, "truncated", "a folder", "missing"])
def test_weights_that_are_damaged_or_of_something_else_are_named(
        tally, project, what, reader, read):
    path = project/f"weights of {reader}.safetensors"
    write(path, what)
    try:
        got = read(path)
    except (ValueError, FileNotFoundError) as error:
        told = str(error)
        tally.refused_if(path.name in told, f"{reader}, {what}: {told}")
    else:
        is_fine = what in FINE.get(reader, ())
        tally.right_if(is_fine, f"{reader}, {what}: {got}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8])
def test_weights_of_another_precision_are_taken(tmp_path, dtype):
    path = tmp_path/"a.safetensors"
    counts = torch.arange(10)
    weight = counts[None].to(dtype)
    tensors = linear(weight, torch.ones(1).to(dtype))
    save_file(tensors, path)
    network = tabular_networks.load_checkpoint(path, "linear")
    weight = network.linears[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight[0], counts.float())


NO_NAMES = [None, 3, ""]
OUTSIDE = ["../x", "../../x", "/etc/x", "a/../../x", "..\\x", "C:\\x"]
REFUSALS = ValueError, TypeError, FileNotFoundError


@pytest.mark.parametrize("name", [*OUTSIDE, *NO_NAMES])
def test_no_name_leads_out_of_the_project(tally, project, name):
    weight = np.zeros((1, 2))
    asks = [
        partial(models.load_head, name),
        partial(models.save_head, name, weight, np.zeros(1)),
    ]
    if name in OUTSIDE: asks.append(partial(assets.own, name))
    for ask in asks: tally.refusal(ask, "name", errors=REFUSALS, what=ask)
    folder = project.parent.parent
    outside = [path for path in folder.rglob("*") if path.is_file()]
    tally.right_if(not outside, f"{name!r}: {outside}")


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
    manifest = project.parent/"manifest.toml"
    manifest.write_text(ENTRY.format(path=path))
    with pytest.raises(ValueError, match=r"manifest\.toml, entry 'weights': path is .*allowed"):
        assets.entries()


@pytest.mark.parametrize("text", ["[[entry", "entry = 3", '[[entry]]\nname = "a"', "\udcff"])
def test_a_damaged_manifest_is_named(project, text):
    manifest = project.parent/"manifest.toml"
    manifest.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(ValueError, match=r"manifest\.toml"): assets.entries()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": 1}', "\0\0"])
def test_a_damaged_record_is_named(project, text):
    path = project/"line.safetensors"
    training.save_trained(nn.Linear(1, 1), path)
    (project/"line.json").write_text(text)
    with pytest.raises(ValueError, match=r"line\.json"):
        training.training_record(path)


def test_a_file_in_the_place_of_a_packages_weights_is_named(tmp_path):
    path = tmp_path/"other.pt"
    path.write_bytes(b"other")
    verified = assets._verified.__wrapped__
    with pytest.raises(ValueError, match=r"other\.pt has sha256"): verified(path, "0"*64)


# checkpoints of trainings

class Evil:
    """What would run where it was unpickled."""

    def __init__(self, mark): self.mark = mark

    def __reduce__(self): return (os.mkdir, (str(self.mark),))


def random_picture(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator)


PICTURES = [random_picture(seed, 3, 64, 64) for seed in range(3)]


def go_on(path, pictures=tuple(PICTURES), steps=2, batch=2, **options):
    return autoencoder.train(list(pictures), steps, path, every=1, batch=batch, **options)


def payload(path, whole): torch.save({"x": Evil(path.with_name("ran"))}, path)


def garbage(path, whole): path.write_bytes(b"garbage"*100)


def empty(path, whole): path.write_bytes(b"")


def another(path, whole): torch.save({"other": torch.zeros(3)}, path)


def truncated(path, whole):
    written = whole.read_bytes()
    path.write_bytes(written[:-2000])


def old(path, whole):
    state = torch.load(whole, weights_only=True)
    state["settings"] = [2, 2e-3, 1]
    torch.save(state, path)


def another_network(path, whole):
    state = torch.load(whole, weights_only=True)
    state["network"] = {"weight": torch.zeros(1)}
    torch.save(state, path)


@pytest.mark.parametrize(
    "write_damaged", [payload, garbage, empty, another, old, truncated, another_network])
def test_a_checkpoint_that_is_none_is_named_and_nothing_of_it_is_run(
        tally, tmp_path, write_damaged):
    path = tmp_path/"checkpoint.pt"
    mark = tmp_path/"ran"
    whole = tmp_path/"whole.pt"
    go_on(whole)
    write_damaged(path, whole)
    tally.refusal(lambda: go_on(path), "checkpoint.pt", what=write_damaged.__name__)
    tally.right_if(not mark.exists(), "code was run")


@cases("other, options", {
    "other pictures": dict(pictures=[*PICTURES[:2], PICTURES[0]]),
    "another order": dict(pictures=PICTURES[::-1]),
    "a picture more": dict(pictures=[*PICTURES, PICTURES[0]]),
    "another seed": dict(seed=1),
    "another batch": dict(batch=3),
    "another rate": dict(rate=1e-3),
    "more steps": dict(steps=4),
    "another decay": dict(decay=0.),
    "another precision": dict(dtype=torch.bfloat16),
})
def test_a_checkpoint_of_another_training_is_refused(tally, tmp_path, other, options):
    path = tmp_path/"checkpoint.pt"
    network, losses = go_on(path)
    again, same = go_on(path)
    weight = network.encoder[0][0].weight
    is_alike = torch.equal(weight, again.encoder[0][0].weight)
    tally.right_if(is_alike and losses.equals(same), "its own checkpoint was not taken up")
    tally.refusal(
        lambda: go_on(path, **options), "checkpoint.pt is of another training", what=other)


def holes(seed):
    """Pictures of which an inpainter learns."""
    pictures = [random_picture(seed + k, 3, 128, 128) for k in range(2)]
    return inpainter.of_pictures(pictures)


def train_inpainter(some, path):
    inpainter.train(some, steps=1, every=1, batch=1, checkpoint=path)


def photographs(seed):
    """Photographs of which a tiny network learns."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator)
    boxes = torch.zeros(4, 4, dtype=torch.int64)
    return tiny_imagenet.Photographs(pixels, torch.arange(4), boxes)


def train_tiny(some, path):
    tiny_imagenet.learn("cnn_tiny101_s", some, None, 1, path, batch=2, every=1)


@pytest.mark.parametrize("make, train", [(holes, train_inpainter), (photographs, train_tiny)])
def test_so_are_those_of_the_other_networks(tally, tmp_path, make, train):
    path = tmp_path/"other.pt"
    some, others = make(0), make(7)
    train(some, path)
    tally.refusal(lambda: train(others, path), "other.pt", what="other pictures")
