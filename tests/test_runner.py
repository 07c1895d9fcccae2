"The runner: what is injected and refused, what counts as done, what a failure leaves behind."
import json
import os
import re
import sys

import nbformat
import pandas as pd
import pytest
from nbclient.exceptions import DeadKernelError

from xai_repro import workbook
from xai_repro.workbook import runner
from xai_repro.zoo import assets
from xai_repro.ground import sha256
DEFAULTS = 'profile = "smoke"\nresults = ""\ndevice = "auto"\nn = 2\nrate = 0.5\nname = "a#b=c"  # a note\nsizes = [\n    1,\n    2]\nfast = False\nlimit = None'
WRITE = """
import json, os, sys
from pathlib import Path
folder = Path(os.environ["XAI_REPRO_ROOT"])/"data"/"results"/Path(experiment)/(results or profile)
folder.mkdir(parents=True, exist_ok=True)
(folder/"seen.json").write_text(json.dumps(dict(python=sys.executable, root=os.environ["XAI_REPRO_ROOT"], here=os.getcwd(), profile=profile, n=n, name=name,
                                                sizes=sizes, finished=(folder/"run.json").exists())))
"""


def write(name, *sources, defaults=DEFAULTS, tags=("parameters",)):
    cells = [nbformat.v4.new_markdown_cell(f"Text.\n\n# About {name}"), nbformat.v4.new_code_cell(defaults, metadata=dict(tags=list(tags)))]
    kernel = dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"))
    cells += [nbformat.v4.new_code_cell(source) for source in (f"experiment = {name!r}", *sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), runner.root()/"nbs"/"papers"/f"{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A project with one experiment, `dice`, on a machine where the user has another kernel named python3."
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path/"jupyter"))
    monkeypatch.setattr(runner, "code_version", lambda source: "library")   # which others may be editing right now
    (tmp_path/"jupyter"/"kernels"/"python3").mkdir(parents=True)
    (tmp_path/"jupyter"/"kernels"/"python3"/"kernel.json").write_text(json.dumps(dict(argv=["/bin/false"], display_name="another", language="python")))
    (tmp_path/"nbs"/"papers").mkdir(parents=True)
    (tmp_path/"data").mkdir()
    (tmp_path/"data"/"manifest.toml").write_text("entry = []")
    assets._manifest.cache_clear()
    (tmp_path/"nbs"/"papers"/"profiles.toml").write_text("[dice.standard]\nn = 20\nsizes = [3]\n")
    write("dice", WRITE)
    return tmp_path


def results(project, name="smoke", experiment="dice"): return project/"data"/"results"/experiment/name


def edit(project, change):
    path = project/"nbs"/"papers"/"dice.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


# what a notebook declares

def test_parameters_are_read_as_python(project):
    assert runner.parameters("dice") == dict(profile="smoke", results="", device="auto", n=2, rate=.5, name="a#b=c", sizes=[1, 2], fast=False, limit=None)
    assert runner.title("dice") == "About dice"


@pytest.mark.parametrize("line", ["sizes = (1, 2)", "sizes = list(range(3))", "%matplotlib inline", "import os", "n: int", "a, b = 1, 2", "table = {1: 2}"])
def test_a_parameter_that_is_not_plain_data_is_refused(project, line):
    write("odd", defaults=f"{DEFAULTS}\n{line}")
    with pytest.raises(ValueError, match="parameters cell of odd.* allowed: "): runner.parameters("odd")


def test_the_parameters_cell_is_required(project):
    write("untagged", tags=())
    with pytest.raises(ValueError, match="untagged has 0 cells tagged 'parameters'; allowed: exactly one"): runner.parameters("untagged")
    write("partial", defaults='profile = "smoke"\ndevice = "auto"')
    with pytest.raises(ValueError, match="partial lacks results; required: profile, results, device"): runner.resolve("partial", overrides=dict(n=1))


# what a run is given

def test_precedence_is_default_then_profile_then_override(project):
    assert runner.resolve("dice")["n"] == 2
    assert runner.resolve("dice", "standard")["n"] == 20
    values = runner.resolve("dice", "standard", "cpu", dict(n=21))
    assert (values["n"], values["sizes"], values["rate"], values["profile"], values["device"]) == (21, [3], .5, "standard", "cpu")


@pytest.mark.parametrize("arguments, told", [
    (dict(experiment="dize"), "experiment is 'dize'; allowed: dice"),
    (dict(profile="paper"), "profile of dice is 'paper'; allowed: smoke, standard"),
    (dict(device="gpu"), "device is 'gpu'; allowed: auto, cpu, cuda"),
    (dict(overrides=dict(m=1)), "'m'; allowed: n, rate, name, sizes, fast, limit"),
    (dict(overrides=dict(profile="paper")), "'profile', which the runner sets"),
    (dict(overrides=dict(results="paper")), "'results', which the runner sets"),
    (dict(overrides=dict(n=2.5)), "n in overrides of dice is 2.5; allowed: a whole number, like its default 2"),
    (dict(overrides=dict(n=True)), "n in overrides of dice is True; allowed: a whole number"),
    (dict(overrides=dict(rate="fast")), "rate in overrides of dice is 'fast'; allowed: a number"),
    (dict(overrides=dict(name=1)), "name in overrides of dice is 1; allowed: a text"),
    (dict(overrides=dict(sizes=3)), "sizes in overrides of dice is 3; allowed: a list"),
    (dict(overrides=dict(fast=1)), "fast in overrides of dice is 1; allowed: true or false"),
    (dict(overrides=dict(limit={1})), "limit in overrides of dice is {1}; allowed: numbers, strings"),
])
def test_what_cannot_be_meant_is_refused(project, arguments, told):
    with pytest.raises(ValueError) as error: runner.resolve(**dict(experiment="dice") | arguments)
    assert told in str(error.value)


@pytest.mark.parametrize("toml, told", [
    ("[dice.standard]\nm = 20", "parameter in dice.standard of profiles.toml is 'm'; allowed: n, rate"),
    ("[dice.standard]\nn = '20'", "n in dice.standard of profiles.toml is '20'; allowed: a whole number"),
    ("[dice.standart]\nn = 20", "profile of dice in profiles.toml is 'standart'; allowed: smoke, standard, paper"),
    ("[dice.standard", "is not valid TOML"),
])
def test_a_mistake_in_profiles_toml_is_refused(project, toml, told):
    (project/"nbs"/"papers"/"profiles.toml").write_text(toml)
    with pytest.raises(ValueError) as error: runner.resolve("dice", "standard")
    assert told in str(error.value)


def test_a_whole_number_will_do_for_a_float(project):
    assert repr(runner.resolve("dice", overrides=dict(rate=1))["rate"]) == "1.0"


# what a run is known by

def test_code_is_compared_without_comments_and_docstrings():
    plain = workbook.code_digest("class A:\n    def f(self, x=None): return x\n")
    assert plain == workbook.code_digest('"Module."\nclass A:\n    "Class."\n    # comment\n    def f(self,\n        x=None,  # argument\n    ):\n        """Function."""\n        return (x)\n')
    others = ["class A:\n    def f(self, x=0): return x", "class A:\n    def f(self, x=None): return", "class A:\n    async def f(self, x=None): return x",
              "class B:\n    def f(self, x=None): return x", "class A:\n    def f(self, x=None):\n        'one'; 'two'\n        return x"]
    assert len({plain, *map(workbook.code_digest, others)}) == 1 + len(others)


def test_the_code_version_looks_at_what_computes(tmp_path):
    (tmp_path/"lfa.py").write_text("a = 1")
    (tmp_path/"cli.py").write_text("b = 1")
    before = workbook.code_version(folder=tmp_path)
    (tmp_path/"cli.py").write_text("b = 2")
    (tmp_path/"lfa.py").write_text('"Now with prose."\na = 1  # and a comment')
    assert workbook.code_version(folder=tmp_path) == before
    (tmp_path/"lfa.py").write_text("a = 2")
    assert workbook.code_version(folder=tmp_path) != before


@pytest.mark.parametrize("source, reached", [
    ("from xai_repro.explain import lfa\nlfa.y", "abc"), ("import xai_repro.explain.lfa\nxai_repro.lfa.y()", "abc"), ("from xai_repro.explain.lfa import y as z", "abc"), ("def f():\n    from xai_repro.checks import x", "abc"),
    ("from xai_repro import other\nother.y", ""), ("import numpy\nfrom os import path", ""), ("from xai_repro import other as lfa\nlfa.z", "d")])
def test_the_code_version_follows_imports_and_names(tmp_path, source, reached):
    "lfa uses checks, checks uses data inside a function, and data lfa again: a ring."
    texts = dict(a="from .checks import x\ndef y(): return x(1)", b="def x(n):\n    from . import data\n    return data.TABLE[n]", c="from xai_repro.explain.lfa import y\nTABLE = {1: y}", d="z = 1")
    changed = dict(a=("x(1)", "x(2)"), b=("[n]", "[-n]"), c=("{1: y}", "{2: y}"), d=("1", "2"))
    files = {letter: (tmp_path/f"{name}.py", texts[letter]) for letter, name in zip("abcd", ("lfa", "checks", "data", "other"))}
    for path, text in files.values(): path.write_text(text)
    before = workbook.code_version(source, tmp_path)
    for letter, (path, text) in files.items():
        path.write_text(text.replace(*changed[letter]))
        assert (workbook.code_version(source, tmp_path) != before) == (letter in reached), letter
        path.write_text(text + "\ndef unused(): return y, x, z")
        assert workbook.code_version(source, tmp_path) == before, "a definition that nobody uses"
        path.write_text(text)


@pytest.mark.parametrize("text", ["a = 1\nprint(b)", "a, *b = 1, 2", "a = {}\na['k'] = b", "class a:\n    def f(self): return b", "a: int = b", "if b: a = 1"])
def test_what_a_used_name_stands_for_counts(tmp_path, text):
    (tmp_path/"lfa.py").write_text(text + "\nb = 3")
    before = workbook.code_version("from xai_repro.explain.lfa import a, b", tmp_path)
    (tmp_path/"lfa.py").write_text(text + "\nb = 4")
    assert workbook.code_version("from xai_repro.explain.lfa import a, b", tmp_path) != before
    (tmp_path/"lfa.py").write_text(re.sub(r"\ba\b", "a_", text, count=1) + "\nb = 3")
    assert workbook.code_version("from xai_repro.explain.lfa import a, b", tmp_path) != before


def test_the_key_follows_code_and_parameters(project, monkeypatch):
    def key(**overrides): return runner.run_key("dice", runner.resolve("dice", overrides=overrides))
    keys = [key()]
    assert len(keys[0]) == 16 and int(keys[0], 16) >= 0
    edit(project, lambda notebook: notebook.cells[0].update(source="# Other prose"))
    def show(notebook): notebook.cells += [nbformat.v4.new_markdown_cell("# What was found"), nbformat.v4.new_code_cell("print('shown')")]
    edit(project, show)
    assert runner.run_key("dice", runner.resolve("dice", device="cpu")) == keys[0], "prose, device and what is shown do not count"
    keys.append(key(n=3))
    edit(project, lambda notebook: notebook.cells[-3].update(source="pass"))
    keys.append(key())
    monkeypatch.setattr(runner, "code_version", lambda source: "another library")
    keys.append(key())
    assert len(set(keys)) == len(keys)


# running (each of these starts a kernel, which takes two seconds)

def test_kernels_keep_their_memory_unless_the_user_says_otherwise(project, monkeypatch):
    for name in runner.ALLOCATOR: monkeypatch.delenv(name, raising=False)
    assert runner.ALLOCATOR.items() <= runner._for_kernels().items()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert "MALLOC_TOP_PAD_" not in runner._for_kernels() and "MALLOC_TRIM_THRESHOLD_" in runner._for_kernels()


def test_a_run_is_done_once(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("XAI_REPRO_ROOT", ".")
    record = runner.run("dice", "standard", progress=False)
    assert (record.state, record.error, record.results) == ("done", "", results(project, "standard"))
    seen = json.loads((record.results/"seen.json").read_text())
    assert seen == dict(python=sys.executable, root=str(project), here=str(project/"nbs"/"papers"), profile="standard", n=20, name="a#b=c", sizes=[3], finished=False)
    assert record.notebook == project/"data"/"runs"/"dice"/"standard.ipynb" and record.notebook.exists()
    finished = json.loads((record.results/"run.json").read_text())
    assert finished.keys() == {"key", "parameters", "seconds", "finished", "versions", "python"}
    assert finished["key"] == record.key and finished["parameters"]["n"] == 20

    assert runner.run("dice", "standard").state == "skipped"
    assert runner.run("dice", "standard", force=True, progress=False).state == "done"
    assert not json.loads((record.results/"seen.json").read_text())["finished"], "run.json is taken away while a run may leave a mixture"


def test_overrides_go_to_a_folder_of_their_own(project):
    record = runner.run("dice", overrides=dict(n=5), progress=False)
    assert record.results == results(project, f"smoke-{record.key[:8]}") and (record.results/"run.json").exists()
    assert json.loads((record.results/"seen.json").read_text())["n"] == 5
    assert not results(project).exists()
    assert runner.status().state.tolist() == ["never", "never"]


# what a failure leaves behind

def test_a_dead_kernel_is_a_failure(project, monkeypatch):
    def die(*args, **kwargs): raise DeadKernelError("Kernel died")
    monkeypatch.setattr(runner.papermill, "execute_notebook", die)
    record = runner.run("dice")
    assert (record.state, record.error) == ("failed", "the kernel stopped: Kernel died")


def test_a_notebook_that_stops_early_is_a_failure(project, monkeypatch):
    stopped = nbformat.v4.new_notebook(metadata=dict(papermill=dict(exception=True)))   # what papermill returns after sys.exit(0) in a cell
    monkeypatch.setattr(runner.papermill, "execute_notebook", lambda *args, **kwargs: stopped)
    record = runner.run("dice")
    assert record.state == "failed" and "before its last cell" in record.error
    assert not (results(project)/"run.json").exists()


def test_run_json_is_written_whole_or_not_at_all(project, monkeypatch):
    def fail(*args): raise OSError("disk full")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"): runner._write_finished(results(project), "key", {}, 1.)
    assert not list(results(project).iterdir())


# what has been run

def test_states(project):
    folder = results(project)
    assert runner.state(folder, "now") == "never"
    folder.mkdir(parents=True)
    (folder/"table.csv").write_text("a\n1\n")
    assert runner.state(folder, "now") == "results"
    (folder/"run.json").write_text(json.dumps(dict(key=runner.run_key("dice", runner.resolve("dice")), seconds=1.5, finished="2030-01-01")))
    assert runner.state(folder, "another") == "stale"
    assert runner.status().iloc[0].to_dict() == dict(experiment="dice", profile="smoke", state="done", finished="2030-01-01", seconds=1.5)
    edit(project, lambda notebook: notebook.cells[-1].update(source="pass"))
    assert runner.status().state.tolist() == ["stale", "never"]


def test_a_run_counts_as_long_as_the_data_that_it_used_are_the_same(project):
    folder, published = results(project), project/"data"/"published"
    folder.mkdir(parents=True); published.mkdir()
    def manifest(**checksums):
        assets._manifest.cache_clear()
        (project/"data"/"manifest.toml").write_text("".join(f'[[entry]]\nname = "{name}"\nkind = "asset"\npath = "{name}"\nsha256 = "{value}"\nwhat = ""\nsource = ""\nlicence = ""\n' for name, value in checksums.items()))
    (published/"dice.csv").write_text("value\n1\n")
    (folder/"run.json").write_text(json.dumps(dict(key="now")))
    (folder/"provenance.json").write_text(json.dumps(dict(data={"table": "a", "published/dice": sha256(published/"dice.csv")})))
    manifest(table="a", other="b"); assert runner.state(folder, "now") == "done"
    manifest(table="a", other="c"); assert runner.state(folder, "now") == "done", "an entry that it did not use"
    manifest(table="c", other="b"); assert runner.state(folder, "now") == "stale"
    manifest(other="b"); assert runner.state(folder, "now") == "stale", "gone from the manifest"
    manifest(table="a"); (published/"dice.csv").write_text("value\n2\n"); assert runner.state(folder, "now") == "stale"
    (project/"data"/"models").mkdir(); (weights := project/"data"/"models"/"die.safetensors").write_bytes(b"1")
    (folder/"provenance.json").write_text(json.dumps(dict(data={"models/die.safetensors": sha256(weights)}))); assert runner.state(folder, "now") == "done"
    weights.write_bytes(b"2"); assert runner.state(folder, "now") == "stale", "weights that the project keeps"


def test_the_scoreboard_shows_the_largest_finished_profile(project):
    assert runner.scoreboard().empty
    for name, sealed in (("smoke", True), ("standard", True), ("paper", False), ("standard-01234567", True)):
        folder = results(project, name)
        folder.mkdir(parents=True)
        pd.DataFrame(dict(claim=[f"measured by {name}"], verdict=["holds"])).to_csv(folder/"claims.csv", index=False)
        if sealed: (folder/"provenance.json").write_text("{}")
    write("silent")
    results(project, experiment="silent").mkdir(parents=True)
    (results(project, experiment="silent")/"provenance.json").write_text("{}")
    assert runner.scoreboard().to_dict("records") == [dict(experiment="dice", profile="standard", claim="measured by standard", verdict="holds")]
