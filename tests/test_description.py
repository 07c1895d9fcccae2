"""A description differs for whatever answers differently, and is the same in any process."""
import collections
import datetime
import decimal
import enum
import functools
import operator
import random
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from xai_repro.inputs.description import describe


class OwnFloat(float): pass
class OwnText(str): pass
class OwnList(list): pass
class OwnDict(dict): pass
class OwnDate(datetime.date): pass
class OwnDecimal(decimal.Decimal): pass
class OwnDeque(collections.deque): pass
class OwnBytes(bytearray): pass
class OwnTensor(torch.Tensor): pass


class Level(enum.Enum):
    LOW = .1
    HIGH = .9


class Slotted:
    __slots__ = "level"

    def __init__(self, level): self.level = level


class Hidden:
    __slots__ = ("__level",)

    def __init__(self, level): self.__level = level


class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x): return x*self.by


class Forgetful(OwnDeque):
    """What is pickled of it says less than it holds."""

    def __reduce__(self): return Forgetful, ()


def at(value, **attributes):
    for name, attribute in attributes.items(): setattr(value, name, attribute)
    return value


def both(make): return make(1), make(2)


def missing(number):
    class Filled(dict):
        def __missing__(self, key): return number
    return Filled()


def of_base(base): return type("Mine", (base,), {"__module__": __name__})



def objects(shape):
    filled = np.empty(shape, object)
    filled[:] = 1
    return filled


PAIRS = {
    "a float's attribute": both(lambda k: at(OwnFloat(1), level=k)),
    "a text's attribute": both(lambda k: at(OwnText("a"), level=k)),
    "a list's attribute": both(lambda k: at(OwnList(), level=k)),
    "a tensor's attribute": both(lambda k: at(torch.zeros(2), level=k)),
    "an own tensor's attribute": both(lambda k: at(OwnTensor(torch.zeros(2)), level=k)),
    "an own dict's code": both(missing),
    "what a dict is filled with": both(
        lambda k: collections.defaultdict(functools.partial(int, k))),
    "the order of steps": ({"blur": 1, "noise": 2}, {"noise": 2, "blur": 1}),
    "an own date": both(lambda k: OwnDate(2020, 1, k)),
    "an own decimal": both(OwnDecimal),
    "an own deque": both(lambda k: OwnDeque([k])),
    "own bytes": both(lambda k: OwnBytes([k])),
    "a generator's state": both(random.Random),
    "what it would not pickle": both(lambda k: Forgetful([k])),
    "slots": both(Slotted),
    "private slots": both(Hidden),
    "a choice": (Level.LOW, Level.HIGH),
    "a sparse tensor": both(lambda k: (k*torch.eye(3)).to_sparse()),
    "a compressed tensor": both(lambda k: (k*torch.eye(3)).to_sparse_csr()),
    "a quantised tensor": both(
        lambda k: torch.quantize_per_tensor(k*torch.ones(2), .1, 0, torch.qint8)),
    "a tensor without numbers": both(lambda k: torch.zeros(2, device="meta")),
    "the shape of objects": (objects((2, 3)), objects((3, 2))),
    "a masked array": both(lambda k: np.ma.array([1., 2.], mask=[k == 1, False])),
    "a table": both(lambda k: pd.DataFrame({"a": [k]})),
    "a script": both(lambda k: torch.jit.script(Scaled(k))),
    "a traced network": both(lambda k: torch.fx.symbolic_trace(Scaled(k))),
    "functions of numpy": (np.exp, np.log),
    "wrapped functions of numpy": (np.mean, np.median),
    "an item": both(lambda k: operator.itemgetter(k)),
    "a partial's attribute": both(lambda k: at(functools.partial(int), level=k)),
    "what a class is made of": (of_base(nn.ReLU), of_base(nn.GELU)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS)
def test_what_differs_is_described_otherwise(one, other):
    assert describe(one) != describe(other)


STABLE = ["a float's attribute", "a list's attribute", "an own date", "an own decimal", "slots",
          "private slots", "a choice", "a sparse tensor", "a table", "functions of numpy",
          "wrapped functions of numpy", "an item", "what a class is made of", "a script"]


def test_a_description_is_that_of_another_process():
    code = (f"import sys; sys.path[:0] = {sys.path!r}\n"
            "import test_description as t; from xai_repro.inputs.description import describe\n"
            "for name in t.STABLE: print(describe(t.PAIRS[name][0]))")
    again = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True,
                           text=True, check=True)
    assert again.stdout.split() == [describe(PAIRS[name][0]) for name in STABLE]


# modules

@pytest.fixture(name="settings")
def _settings(monkeypatch):
    module = at(types.ModuleType("my_settings"), LEVEL=.1)
    module.inner = at(types.ModuleType("my_settings.inner"), LEVEL=.1)
    monkeypatch.setitem(sys.modules, "my_settings", module)
    monkeypatch.setitem(sys.modules, "my_settings.inner", module.inner)
    monkeypatch.setitem(globals(), "my_settings", module)
    return module


def read(): return my_settings.LEVEL  # noqa: F821 - set by the fixture
def read_inner(): return my_settings.inner.LEVEL  # noqa: F821
def read_by_text(): return getattr(my_settings, "LEVEL")  # noqa: B009, F821
def read_loaded(): return sys.modules["my_settings"].LEVEL


def read_imported():
    import my_settings as mine
    return mine.LEVEL


def read_inner_imported():
    from my_settings.inner import LEVEL
    return LEVEL


class Reading:
    def __init__(self, module): self.module = module

    def __call__(self): return self.module.LEVEL


@pytest.mark.parametrize("reads", [
    read, read_inner, read_by_text, read_loaded, read_imported, read_inner_imported])
def test_a_number_in_a_module_counts_however_it_is_read(settings, reads):
    before = describe(reads)
    assert describe(reads) == before
    settings.OTHER = 1
    assert describe(reads) == before, "what is not read does not count"
    settings.LEVEL = settings.inner.LEVEL = .9
    assert describe(reads) != before


def test_a_module_that_is_held_counts_whole(settings):
    before = describe(Reading(settings))
    settings.LEVEL = .9
    assert describe(Reading(settings)) != before


def unloaded():
    import module_of_a_user_that_was_not_loaded as mine
    return mine.LEVEL


def by_name(name): return globals()[name]


def test_what_cannot_be_seen_into_is_in_no_other_description(tmp_path, monkeypatch):
    (tmp_path/"module_of_a_user_that_was_not_loaded.py").write_text("LEVEL = 1")
    monkeypatch.syspath_prepend(tmp_path)
    for unseen in (unloaded, by_name): assert describe(unseen) != describe(unseen)
    assert unloaded() == 1
    assert describe(unloaded) == describe(unloaded), "it is loaded now"


def test_a_function_that_a_user_puts_into_a_library_counts(monkeypatch):
    layer = nn.Conv2d(1, 1, 1)
    before = describe(layer)
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: 0*x)
    assert describe(layer) != before


# files

def test_the_file_of_a_name_counts(tmp_path):
    path = tmp_path/"fill.txt"
    for named in (path, str(path)):
        path.write_text("grey")
        before = describe(named)
        path.write_text("blue")
        after = describe(named)
        assert before != after == describe(named)
        path.unlink()
        assert describe(named) not in (before, after)
    before = describe(tmp_path)
    path.write_text("grey")
    assert describe(tmp_path) != before, "a folder counts by its files"


def test_the_files_of_an_installed_package_count(tmp_path, monkeypatch):
    """Of its class's own file and of the others, each in a process of its own."""
    package = tmp_path/"my_installed"
    package.mkdir()
    code = (f"import sys, sysconfig; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n"
            f"paths = sysconfig.get_paths() | {{'purelib': {str(tmp_path)!r}}}\n"
            "sysconfig.get_paths = lambda: paths\n"
            "import my_installed; from xai_repro.inputs.description import describe\n"
            "print(describe(my_installed.Mine()))")

    def described(level, helper):
        (package/"__init__.py").write_text(f"class Mine:\n    def level(self): return {level}")
        (package/"helper.py").write_text(f"LEVEL = {helper}")
        made = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True,
                              check=True)
        return made.stdout

    assert len({described(1, 1), described(1000, 1), described(1000, 1000)}) == 3
    assert Path(sysconfig.get_paths()["purelib"]) != tmp_path
