"The runner: what is injected and refused, what counts as done, what a failure leaves behind."
import json
import os
import sys

import nbformat
import papermill
import pandas as pd
import pytest
from nbclient.exceptions import DeadKernelError
from toy_project import (
    DEFAULTS,
    code_cell,
    edit,
    replace_cell,
    results,
    text_cell,
    write,
    write_manifest,
)

from xai_repro.ground import sha256
from xai_repro.workbook import records, runner

# what a notebook declares

def test_parameters_are_read_as_python(project):
    expected = dict(profile="smoke", results="", device="auto", n=2, rate=.5, name="a#b=c")
    expected |= dict(sizes=[1, 2], fast=False, limit=None)
    assert runner.parameters("dice") == expected
    assert runner.title("dice") == "About dice"


ODD_LINES = [
    "sizes = (1, 2)",
    "sizes = list(range(3))",
    "%matplotlib inline",
    "import os",
    "n: int",
    "a, b = 1, 2",
    "table = {1: 2}",
]


@pytest.mark.parametrize("line", ODD_LINES)
def test_a_parameter_that_is_not_plain_data_is_refused(project, line):
    write("odd", defaults=f"{DEFAULTS}\n{line}")
    with pytest.raises(ValueError, match=r"parameters cell of odd.* allowed: "):
        runner.parameters("odd")


def test_the_parameters_cell_is_required(project):
    write("untagged", tags=())
    told = "untagged has 0 cells tagged 'parameters'; allowed: exactly one"
    with pytest.raises(ValueError, match=told):
        runner.parameters("untagged")
    write("partial", defaults='profile = "smoke"\ndevice = "auto"')
    told = "partial lacks results; required: profile, results, device"
    with pytest.raises(ValueError, match=told):
        runner.resolve("partial", overrides=dict(n=1))


# what lies beside the experiments

STRAYS = {
    "empty": "",
    "new": nbformat.writes(nbformat.v4.new_notebook()),
    "half": '{"cells": [',
    "a list": "[1, 2]",
    "without cells": "{}",
    "with odd cells": '{"cells": [3]}',
}


@pytest.mark.parametrize("content", STRAYS.values(), ids=STRAYS)
def test_a_stray_notebook_stops_no_experiment(project, content):
    stray = project/"nbs"/"papers"/"Untitled.ipynb"
    stray.write_text(content)
    (project/"nbs"/"papers"/".dice-1.ipynb").touch()
    (project/"nbs"/"papers"/"folder.ipynb").mkdir()
    assert list(runner.experiments()) == ["Untitled", "dice"]
    table = runner.status().set_index("experiment")
    assert table.state.to_dict() == dict(Untitled="unreadable", dice="never")
    assert list(runner.left_out()) == ["Untitled"]
    assert runner.locate("dice").experiment == "dice"
    with pytest.raises(ValueError, match="Untitled"):
        runner.locate("Untitled")


MAGICS = ["%matplotlib inline", "%%time\nx = 1", "!echo hello", "x?", "await f()", "x = \0"]


@pytest.mark.parametrize("line", MAGICS)
def test_lines_of_ipython_are_code_like_others(project, line):
    write("magic", line)
    assert runner.locate("magic").key == runner.locate("magic").key
    assert runner.status().experiment.tolist() == ["dice", "dice", "magic"]


def test_a_project_without_notebooks_is_named(project, monkeypatch):
    elsewhere = project/"elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("XAI_REPRO_ROOT", str(elsewhere))
    with pytest.raises(FileNotFoundError, match="elsewhere has no folder nbs/papers"):
        runner.experiments()


# what a run is given

def test_precedence_is_default_then_profile_then_override(project):
    assert runner.resolve("dice")["n"] == 2
    assert runner.resolve("dice", "standard")["n"] == 20
    values = runner.resolve("dice", "standard", "cpu", dict(n=21))
    expected = dict(n=21, sizes=[3], rate=.5, profile="standard", device="cpu")
    assert {name: values[name] for name in expected} == expected


REFUSED = [
    (dict(experiment="dize"), "experiment is 'dize'; allowed: dice"),
    (dict(profile="paper"), "profile of dice is 'paper'; allowed: smoke, standard"),
    (dict(device="gpu"), "device is 'gpu'; allowed: auto, cpu, cuda"),
]
REFUSED_NAMES = [
    (dict(m=1), "'m'; allowed: n, rate, name, sizes, fast, limit"),
    (dict(profile="paper"), "'profile', which the runner sets"),
    (dict(results="paper"), "'results', which the runner sets"),
]
REFUSED_VALUES = [
    (dict(n=2.5), "n in overrides of dice is 2.5; allowed: a whole number, like its default 2"),
    (dict(n=True), "n in overrides of dice is True; allowed: a whole number"),
    (dict(rate="fast"), "rate in overrides of dice is 'fast'; allowed: a number"),
    (dict(name=1), "name in overrides of dice is 1; allowed: a text"),
    (dict(sizes=3), "sizes in overrides of dice is 3; allowed: a list"),
    (dict(fast=1), "fast in overrides of dice is 1; allowed: true or false"),
    (dict(limit={1}), "limit in overrides of dice is {1}; allowed: numbers, strings"),
    (dict(sizes=[1, "2"]),
     "sizes[1] in overrides of dice is '2'; allowed: a whole number, like 1 in its default"),
    (dict(sizes=[[1]]), "sizes[0] in overrides of dice is [1]; allowed: a whole number"),
    (dict(rate=float("nan")), "rate in overrides of dice is nan; allowed: numbers that are finite"),
]
for overrides, message in REFUSED_NAMES + REFUSED_VALUES:
    REFUSED.append((dict(overrides=overrides), message))


@pytest.mark.parametrize("arguments, told", REFUSED)
def test_what_cannot_be_meant_is_refused(project, arguments, told):
    with pytest.raises(ValueError) as error:
        runner.resolve(**dict(experiment="dice") | arguments)
    assert told in str(error.value)


REFUSED_TOML = [
    ("standard]\nm = 20", "parameter in dice.standard of profiles.toml is 'm'; allowed: n, rate"),
    ("standard]\nn = '20'", "n in dice.standard of profiles.toml is '20'; allowed: a whole number"),
    ("standart]\nn = 20", "dice in profiles.toml is 'standart'; allowed: smoke, standard, paper"),
    ("standard", "is not valid TOML"),
    ("standard]\nn = 20\nn = 30", "is not valid TOML: Cannot overwrite a value"),
    ("standard]\n[dize.standard]\nn = 1", "profiles.toml is 'dize'; allowed: dice"),
    ("standard]\n[dice]\npaper = 3", "dice.paper in"),
]


@pytest.mark.parametrize("toml, told", REFUSED_TOML)
def test_a_mistake_in_profiles_toml_is_refused(project, toml, told):
    (project/"nbs"/"papers"/"profiles.toml").write_text(f"[dice.{toml}")
    with pytest.raises(ValueError) as error:
        runner.resolve("dice", "standard")
    assert told in str(error.value)


def test_a_whole_number_will_do_for_a_float(project):
    values = runner.resolve("dice", overrides=dict(rate=1))
    assert repr(values["rate"]) == "1.0"


# what a run is known by (which changes of the library count is tested in test_keys)

def dice_key(**arguments):
    return runner.run_key("dice", runner.resolve("dice", **arguments))


def test_prose_the_device_and_what_is_shown_do_not_count(project):
    def add_figure(notebook):
        notebook.cells.append(text_cell("# What was found"))
        notebook.cells.append(code_cell("print('shown')"))

    key = dice_key()
    assert len(key) == 16
    assert int(key, 16) >= 0
    replace_cell(project, 0, "# Other prose")
    edit(project, add_figure)
    assert dice_key(device="cpu") == key


def test_code_and_parameters_count(project, monkeypatch):
    keys = [dice_key(), dice_key(overrides=dict(n=3))]
    replace_cell(project, -1, "pass")
    keys.append(dice_key())
    monkeypatch.setattr(runner, "code_version", lambda source: f"another library, {source}")
    keys.append(dice_key())
    assert len(set(keys)) == len(keys)


def test_another_default_counts_where_it_is_used(project):
    "At `standard` n has a value of its own."
    smoke, standard = dice_key(), dice_key(profile="standard")
    defaults = DEFAULTS.replace("n = 2", "n = 3")
    replace_cell(project, 1, defaults)
    assert dice_key() != smoke
    assert dice_key(profile="standard") == standard


# running (each of these starts a kernel, which takes two seconds)

def test_kernels_keep_their_memory_unless_the_user_says_otherwise(project, monkeypatch):
    for name in runner.ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    assert runner.ALLOCATOR.items() <= runner._kernel_environment().items()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    environment = runner._kernel_environment()
    assert "MALLOC_TOP_PAD_" not in environment
    assert "MALLOC_TRIM_THRESHOLD_" in environment


def read_json(path):
    return json.loads(path.read_text())


def test_a_run_is_done_once(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("XAI_REPRO_ROOT", ".")
    record = runner.run("dice", "standard", progress=False)
    assert record.state == "done"
    assert not record.error
    assert record.results == results(project, "standard")
    seen = read_json(record.results/"seen.json")
    papers = project/"nbs"/"papers"
    where = dict(python=sys.executable, root=str(project), here=str(papers))
    given = dict(profile="standard", n=20, name="a#b=c", sizes=[3])
    assert seen == where | given | dict(finished=False)
    assert record.notebook == project/"data"/"runs"/"dice"/"standard.ipynb"
    assert record.notebook.exists()
    finished = read_json(record.results/"run.json")
    fields = {"key", "code", "parameters", "seconds", "finished", "versions", "python", "tables"}
    assert finished.keys() == fields
    assert finished["key"] == record.key
    assert finished["parameters"]["n"] == 20

    assert runner.run("dice", "standard").state == "skipped"
    assert runner.run("dice", "standard", force=True, progress=False).state == "done"
    seen = read_json(record.results/"seen.json")
    assert not seen["finished"], "run.json is taken away while a run may leave a mixture"


def test_overrides_go_to_a_folder_of_their_own(project):
    record = runner.run("dice", overrides=dict(n=5), progress=False)
    assert record.results == results(project, f"smoke-{record.key}")
    assert (record.results/"run.json").exists()
    assert read_json(record.results/"seen.json")["n"] == 5
    assert not results(project).exists()
    assert runner.status().state.tolist() == ["never", "never"]


def test_a_folder_named_by_eight_digits_is_found(project):
    "As they were named before two sets of parameters had the same."
    record = runner.run("dice", overrides=dict(n=5), progress=False)
    former = results(project, f"smoke-{record.key[:8]}")
    record.results.rename(former)
    again = runner.run("dice", overrides=dict(n=5))
    assert (again.state, again.results) == ("skipped", former)
    other = read_json(former/"run.json")
    other["parameters"]["n"] = 6
    write_run(former, **other)
    assert runner.locate("dice", overrides=dict(n=5)).results == record.results


def test_two_runs_with_the_same_key_are_told_apart(project, monkeypatch):
    monkeypatch.setattr(runner, "run_key", lambda experiment, values: "0"*16)
    runner.run("dice", overrides=dict(n=5), progress=False)
    assert runner.run("dice", overrides=dict(n=5)).state == "skipped"
    with pytest.raises(ValueError, match="run with the same key and another n;"):
        runner.run("dice", overrides=dict(n=6))


def spoil(path, how):
    if how == "delete": return path.unlink()
    content = path.read_bytes()
    wrong = dict(truncate=content[:-4], zero=bytes(len(content)), edit=content.replace(b"2", b"3"))
    return path.write_bytes(wrong[how])


@pytest.mark.parametrize("how", ["delete", "truncate", "zero", "edit"])
def test_a_run_whose_table_is_damaged_is_not_done(project, capsys, how):
    record = runner.run("dice", progress=False)
    table = record.results/"seen.json"
    spoil(table, how)
    assert runner.state(record.results, record.key) == "damaged"
    assert runner.status().state.tolist() == ["damaged", "never"]
    assert runner.run("dice", progress=False).state == "done"
    assert str(table) in capsys.readouterr().err
    assert runner.run("dice").state == "skipped"


def test_what_others_leave_in_a_folder_damages_nothing(project):
    record = runner.run("dice", progress=False)
    (record.results/".DS_Store").touch()
    (record.results/"notes.txt").touch()
    assert runner.run("dice").state == "skipped"


def test_code_that_is_edited_while_the_kernel_starts_and_put_back(project, monkeypatch):
    path = project/"nbs"/"papers"/"dice.ipynb"
    original = path.read_text()
    execute = papermill.execute_notebook

    def edited(*args, **options):
        path.write_text(original.replace("n=n", "n=-n"))
        try:
            return execute(*args, **options)
        finally:
            path.write_text(original)

    monkeypatch.setattr(papermill, "execute_notebook", edited)
    record = runner.run("dice", progress=False)
    assert record.state == "done"
    assert read_json(record.results/"seen.json")["n"] == 2, "what the key is of was executed"

    before = contents(record.results)
    states = iter([{path: (1,)}]*2 + [{path: (2,)}]*9)
    monkeypatch.setattr(runner, "code_files", lambda source: next(states))
    record = runner.run("dice", force=True, progress=False)
    assert (record.state, record.error) == (
        "failed", "dice.ipynb was edited while this ran; run it again")
    assert contents(record.results) == before, "what is stored stays"


def contents(folder) -> dict[str, bytes]:
    """Each file of a folder and what is in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


STORED = """
import os
from pathlib import Path
from xai_repro import workbook as wb
import pandas as pd

opened = wb.open_run("dice", profile, results)
opened.save(throws=pd.DataFrame(dict(throw=[n])))
with wb.figure("dice_throws") as (fig, ax):
    ax.plot([n, n])
"""
FAIL = """
if (Path(os.environ["XAI_REPRO_ROOT"])/"stop").exists(): raise ValueError("stopped")
"""


def test_a_run_that_fails_leaves_what_is_stored_byte_for_byte(project):
    write("dice", STORED, FAIL)
    first = runner.run("dice", "standard", progress=False)
    assert first.error == ""
    stored = contents(first.results)
    figures = contents(project/"figures")
    assert set(stored) == {"throws.csv", "run.json"}
    assert set(figures) == {"dice_throws.png"}, "a larger profile's figures are the project's"
    (project/"stop").touch()
    profiles = project/"nbs"/"papers"/"profiles.toml"
    profiles.write_text("[dice.standard]\nn = 21\n")
    failed = runner.run("dice", "standard", progress=False)
    assert "stopped" in failed.error
    assert (contents(first.results), contents(project/"figures")) == (stored, figures)
    (project/"stop").unlink()
    assert runner.run("dice", "standard", progress=False).error == ""
    assert contents(first.results)["throws.csv"] == b"throw\n21\n"
    assert contents(project/"figures") != figures


def test_a_record_that_names_files_elsewhere_removes_none(project):
    write("dice", STORED)
    first = runner.run("dice", progress=False)
    outside = project/"data"/"mine.csv"
    outside.write_text("mine")
    record = read_json(first.results/"run.json")
    record["tables"]["../../../mine.csv"] = "a checksum"
    (first.results/"run.json").write_text(json.dumps(record))
    assert runner.run("dice", force=True, progress=False).error == ""
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("profile, overrides", [("smoke", {}), ("standard", dict(n=5))])
def test_figures_of_another_run_are_not_the_projects(project, profile, overrides):
    write("dice", STORED)
    record = runner.run("dice", profile, overrides=overrides, progress=False)
    assert record.error == ""
    assert set(contents(record.figures)) == {"dice_throws.png"}
    assert not (project/"figures").exists()


def test_an_asset_that_is_nowhere_is_told_before_a_run(monkeypatch, tmp_path):
    for name in ("XAI_REPRO_ASSETS", "XAI_REPRO_CACHE"): monkeypatch.setenv(name, str(tmp_path))
    runner.check_there(runner.resolve("glime_stability"))
    with pytest.raises(FileNotFoundError, match="'imagenet_val' was not found"):
        runner.check_there(runner.resolve("glime_stability", "standard"))
    with pytest.raises(FileNotFoundError, match="'weights/squeezenet1_1' was not found"):
        runner.check_there(dict(model_names=["efficientnet_lite0", "squeezenet1_1"]))


THROWS = """
import os
from pathlib import Path
import numpy as np
from xai_repro import workbook as wb

log = Path(os.environ["XAI_REPRO_ROOT"])/"log"

def compute():
    log.write_text(log.read_text() + "x" if log.exists() else "x")
    return {"throws": np.arange(n)}

opened = wb.open_run("dice", profile, results)
throws = opened.checkpoint("throws", compute)["throws"]
assert throws.tolist() == list(range(n))
assert not log.with_name("stop").exists(), "stopped"
"""


def test_a_stopped_run_goes_on_from_its_checkpoints(project):
    write("dice", THROWS)
    stop = project/"stop"
    log = project/"log"
    stop.touch()
    for _ in range(2):
        assert runner.run("dice", progress=False).state == "failed"
        assert log.read_text() == "x", "computed once"
    stop.unlink()
    assert runner.run("dice", progress=False).error == ""
    assert log.read_text() == "x"
    left = [path for path in (project/"data"/"cache").rglob("*") if path.is_file()]
    assert not [path for path in left if "checkpoints" in path.parts], "a done run needs none"


def test_checkpoints_outlive_neither_a_change_of_code_nor_force(project):
    write("dice", THROWS)
    stop = project/"stop"
    log = project/"log"
    stop.touch()
    runner.run("dice", progress=False)
    write("dice", THROWS.replace("np.arange(n)", "np.arange(n) + 0"))
    runner.run("dice", progress=False)
    assert log.read_text() == "xx", "other code"
    runner.run("dice", force=True, progress=False)
    assert log.read_text() == "xxx", "a forced run"
    runner.run("dice", overrides=dict(n=3), progress=False)
    assert log.read_text() == "xxxx", "another parameter"


def test_other_versions_of_packages_are_told(project):
    record = runner.run("dice", progress=False)
    assert runner.differences(record.results) == ""
    finished = read_json(record.results/"run.json")
    finished["versions"]["torch"] = "1.0"
    write_run(record.results, **finished)
    told = runner.status().differs[0]
    assert told.startswith("torch 1.0, now ")
    assert runner.run("dice").state == "skipped"


# what a failure leaves behind

def test_a_dead_kernel_is_a_failure(project, monkeypatch):
    def die(*args, **kwargs):
        raise DeadKernelError("Kernel died")

    monkeypatch.setattr(papermill, "execute_notebook", die)
    record = runner.run("dice")
    assert record.state == "failed"
    assert record.error == "the kernel stopped: Kernel died"


def test_a_notebook_that_stops_early_is_a_failure(project, monkeypatch):
    # what papermill returns after sys.exit(0) in a cell
    stopped = nbformat.v4.new_notebook(metadata=dict(papermill=dict(exception=True)))
    monkeypatch.setattr(papermill, "execute_notebook", lambda *args, **kwargs: stopped)
    record = runner.run("dice")
    assert record.state == "failed"
    assert "before its last cell" in record.error
    assert not (results(project)/"run.json").exists()


def test_run_json_is_written_whole_or_not_at_all(project, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        records.write_record(results(project), dict(key="key"))
    assert not list(results(project).iterdir())


# what has been run

def write_run(folder, **record):
    (folder/"run.json").write_text(json.dumps(record))


def test_states(project):
    folder = results(project)
    assert runner.state(folder, "now") == "never"
    folder.mkdir(parents=True)
    (folder/"table.csv").write_text("a\n1\n")
    assert runner.state(folder, "now") == "results"
    write_run(folder, key=dice_key(), seconds=1.5, finished="2030-01-01")
    assert runner.state(folder, "another") == "stale"
    row = runner.status().iloc[0].to_dict()
    expected = dict(experiment="dice", profile="smoke", state="done")
    assert row == expected | dict(finished="2030-01-01", seconds=1.5, differs="")
    replace_cell(project, -1, "pass")
    assert runner.status().state.tolist() == ["stale", "never"]


ENTRY = """
[[entry]]
name = "{name}"
kind = "asset"
path = "{name}"
sha256 = "{checksum}"
what = ""
source = ""
licence = ""
"""


@pytest.fixture
def finished_run(project):
    "The folder of a run that used an entry of the manifest, `table`, and published numbers."
    folder = results(project)
    folder.mkdir(parents=True)
    published = project/"data"/"published"/"dice.csv"
    published.parent.mkdir()
    published.write_text("value\n1\n")
    write_run(folder, key="now")
    use_data(folder, {"table": "a", "published/dice": sha256(published)})
    write_entries(project, table="a", other="b")
    return folder


def use_data(folder, checksums):
    (folder/"provenance.json").write_text(json.dumps(dict(data=checksums)))


def write_entries(project, **checksums):
    text = ""
    for name, checksum in checksums.items():
        text += ENTRY.format(name=name, checksum=checksum)
    write_manifest(project, text)


def test_a_run_counts_as_long_as_the_data_that_it_used_are_the_same(project, finished_run):
    assert runner.state(finished_run, "now") == "done"
    write_entries(project, table="a", other="c")
    assert runner.state(finished_run, "now") == "done", "an entry that it did not use"
    write_entries(project, table="c", other="b")
    assert runner.state(finished_run, "now") == "stale"
    write_entries(project, other="b")
    assert runner.state(finished_run, "now") == "stale", "gone from the manifest"


def test_published_numbers_count(project, finished_run):
    (project/"data"/"published"/"dice.csv").write_text("value\n2\n")
    assert runner.state(finished_run, "now") == "stale"


def test_weights_that_the_project_keeps_count(project, finished_run):
    weights = project/"data"/"models"/"die.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"1")
    use_data(finished_run, {"models/die.safetensors": sha256(weights)})
    assert runner.state(finished_run, "now") == "done"
    weights.write_bytes(b"2")
    assert runner.state(finished_run, "now") == "stale"


def test_the_scoreboard_shows_the_largest_finished_profile(project):
    assert runner.scoreboard().empty
    sealed = dict(smoke=True, standard=True, paper=False)
    sealed["standard-01234567"] = True
    for name, is_sealed in sealed.items():
        folder = results(project, name)
        folder.mkdir(parents=True)
        claim = dict(claim=f"measured by {name}", verdict="holds")
        claims = pd.DataFrame([claim])
        claims.to_csv(folder/"claims.csv", index=False)
        if is_sealed: (folder/"provenance.json").write_text("{}")
    write("silent")
    silent = results(project, experiment="silent")
    silent.mkdir(parents=True)
    (silent/"provenance.json").write_text("{}")
    claim = dict(claim="measured by standard", verdict="holds")
    expected = dict(experiment="dice", profile="standard") | claim
    assert runner.scoreboard().to_dict("records") == [expected]
