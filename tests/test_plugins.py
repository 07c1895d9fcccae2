"""Rows that installed packages add to the tables of methods and metrics."""
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from xai_repro.evaluate.metrics import METRICS, Metric, Metrics
from xai_repro.explain.methods import METHODS, Method, Methods
from xai_repro.ground import root
from xai_repro.workbook import keys, runner

MODULE = '''
import numpy as np
from xai_repro.evaluate.metrics import METRICS, Metric
from xai_repro.explain.methods import METHODS, Method

def counting(instance, target): return np.arange(instance.n_features)*1.

def largest(instance, scores, seed): return float(scores.max())

COUNTING = Method("counting", "ours", counting, "masks", "0")
SAME_LABEL = Method("LIME", "ours", counting, "masks", "0")
LARGEST = Metric("largest", "ours", 1, largest, "0")
NO_ROW = counting
'''


def install(folder, methods=None, metrics=None, name="our-rows"):
    """Write a package as pip leaves it: a module, and what its metadata says of entry points."""
    module = name.replace("-", "_")
    (folder/f"{module}.py").write_text(MODULE)
    metadata = folder/f"{module}-1.2.dist-info"
    metadata.mkdir()
    (metadata/"METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = []
    for group, entries in (("methods", methods or {}), ("metrics", metrics or {})):
        lines += [f"[xai_repro.{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (metadata/"entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder in which packages are found."""
    assert len(METHODS) and len(METRICS), "they are read before, and stay as they are"
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("our_rows", None)


def fresh(table, kind, group):
    """A table with the rows of the library, before it is read."""
    return kind({name: row for name, row in table.items() if name not in table.plugins}, group)


def test_rows_of_a_package_take_part(packages):
    install(packages, {"counting": "our_rows:COUNTING"}, {"largest": "our_rows:LARGEST"})
    methods = fresh(METHODS, Methods, "xai_repro.methods")
    metrics = fresh(METRICS, Metrics, "xai_repro.metrics")
    assert "our_rows" not in sys.modules, "nothing is loaded before a table is read"
    assert methods.plugins == {"counting": "our-rows"}
    assert metrics.plugins == {"largest": "our-rows"}
    assert list(methods)[-1] == "counting"
    assert methods["counting"] is sys.modules["our_rows"].COUNTING
    assert "counting" in methods.table().index
    assert metrics["largest"].function(None, np.array([1., 3.]), 0) == 3


@pytest.mark.parametrize("entry, reason", [
    ({"mine": "our_rows:MISSING"}, "has no attribute 'MISSING'"),
    ({"mine": "no_such_module:ROW"}, "No module named 'no_such_module'"),
    ({"mine": "our_rows:NO_ROW"}, "row 'mine' is .*; allowed: a Method"),
    ({"mine": "our_rows:LARGEST"}, "row 'mine' is .*; allowed: a Method"),
    ({"lime": "our_rows:COUNTING"}, "the name 'lime' is taken"),
    ({"mine": "our_rows:SAME_LABEL"}, "its label 'LIME' is that of 'lime'"),
])
def test_what_cannot_be_a_row_is_left_out_by_name(packages, entry, reason):
    install(packages, {**entry, "zebra": "our_rows:COUNTING"})
    methods = fresh(METHODS, Methods, "xai_repro.methods")
    before = {name: row for name, row in METHODS.items() if name not in METHODS.plugins}
    name = next(iter(entry))
    with pytest.warns(UserWarning, match=f"'{name}' of the package our-rows .* {reason}"):
        assert len(methods) == len(before) + 1
    assert {key: methods[key] for key in before} == before
    assert "zebra" in methods, "the others are there"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "mine" not in methods, "it is said once"


def test_a_session_adds_replaces_and_takes_away():
    row = METHODS["lime"]
    table = Methods({"lime": row})
    table["mine"] = Method("mine", "ours", row.function, "masks", "0")
    assert list(table) == ["lime", "mine"]
    del table["mine"]
    assert dict(table) == {"lime": row}
    with pytest.raises(TypeError, match="row 'mine' is 3; allowed: a Method"):
        table["mine"] = 3
    with pytest.raises(KeyError, match="name is 'mine'; allowed: lime"):
        table["mine"]


@pytest.mark.parametrize("make, told", [
    (lambda: Method("a", "b", len, "mask", "0"), "needs is 'mask'; allowed: masks, gradients"),
    (lambda: Metric("a", "b", 0, len, "0"), "better is 0; allowed: 1, -1"),
    (lambda: Metric("a", "b", 1, len, "0", "pixels"), "needs is 'pixels'"),
])
def test_a_row_says_what_it_needs_in_words_that_are_known(make, told):
    with pytest.raises(ValueError, match=told): make()


EXPLAINED = """
import json, sys, xai_repro as xr
value = xr.function(lambda masks: masks[:, :1]*1., 3)
attribution = xr.explain(value, "counting")
table = xr.evaluate(value, attribution, ["largest"])
print(json.dumps([attribution.method, attribution.scores.tolist(), table.largest.tolist()]))
"""


def test_a_package_is_known_to_explain_and_evaluate(tmp_path):
    install(tmp_path, {"counting": "our_rows:COUNTING"}, {"largest": "our_rows:LARGEST"})
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", EXPLAINED], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == ["counting", [0., 1., 2.], [2.]]


def test_a_package_is_part_of_the_key_of_what_goes_through_its_table(packages, monkeypatch):
    values = dict(profile="smoke", n=1)
    sources = {"all": "x = list(METHODS)", "none": "x = 1"}
    monkeypatch.setattr(runner, "code_of", sources.get)
    monkeypatch.setattr(runner, "code_version", lambda source: source)
    before = {name: runner.run_key(name, values) for name in sources}
    install(packages, {"counting": "our_rows:COUNTING"})
    assert keys.plugins(sources["all"]) == {"our-rows": "1.2"}
    assert keys.plugins("METRICS") == {}
    assert runner.run_key("none", values) == before["none"]
    assert runner.run_key("all", values) != before["all"]


def test_the_cross_examination_has_the_rows_of_packages(tmp_path):
    """Its calls and its table, at its smallest."""
    install(tmp_path, {"counting": "our_rows:COUNTING"}, {"largest": "our_rows:LARGEST"})
    source = (root()/"nbs"/"papers"/"cross_examination.ipynb").read_text()
    cells = ["".join(cell["source"]) for cell in json.loads(source)["cells"]
             if cell["cell_type"] == "code"]
    calls = next(cell for cell in cells if "CALLS = {" in cell)
    labels = next(cell for cell in cells if cell.startswith("LABELS = "))
    code = "from xai_repro.explain.methods import METHODS\n"
    code += "from xai_repro.evaluate.metrics import METRICS\nn_samples = 16\n"
    code += calls[calls.index("LIME = dict("):] + "\n" + labels.splitlines()[0]
    code += "\nprint(CALLS['counting'], LABELS['largest'])"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=True)
    assert ran.stdout == "('counting', {}) largest\n"
