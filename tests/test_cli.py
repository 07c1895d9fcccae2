"""The command line: exit codes, one-line errors, and tables that can be read."""
import json
import subprocess
import sys

import pandas as pd
import pytest
from toy_project import WRITE, call, results, write

from xai_repro.workbook import runner
from xai_repro.workbook.cli import parse_set, show


def longest_line(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.fixture
def dice(project):
    """A project with the experiment `dice`, without results."""
    return project


@pytest.mark.parametrize("arguments, modules", [
    (["-h"], ["torch", "pandas", "papermill"]),
    (["run", "-h"], ["torch", "pandas", "papermill"]),
    (["list"], ["torch", "papermill"]),
    (["status"], ["torch", "papermill"]),
])
def test_a_light_command_does_not_import_heavy_libraries(dice, arguments, modules):
    code = f"""
import sys
from xai_repro.workbook.cli import app
try:
    app({arguments!r})
finally:
    imported = set({modules!r}) & set(sys.modules)
    assert not imported, imported
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_names_the_commands():
    shown = call("-h")
    assert shown.exit_code == 0
    for command in ("list", "run", "sweep", "aggregate", "status", "scoreboard", "data"):
        assert command in shown.stdout


def test_list(dice):
    shown = call("list")
    assert shown.exit_code == 0
    for text in ("dice: About dice", "smoke, standard", "n=2, rate=0.5"):
        assert text in shown.output
    assert longest_line(shown.output) <= 100


@pytest.fixture
def broken(dice):
    """An experiment that writes something and fails, with results of an earlier run."""
    fail = "raise ValueError('the die is lost')"
    write("broken", WRITE, fail, "(folder/'later.csv').write_text('')")
    folder = results(dice, experiment="broken")
    folder.mkdir(parents=True)
    finished = dict(key="old", seconds=1)
    (folder/"run.json").write_text(json.dumps(finished))
    comparison = pd.DataFrame(dict(row=["mean"], published=[3.5], ours=[3.4567891]))
    comparison.to_csv(folder/"comparison.csv", index=False)
    return folder


@pytest.fixture
def compared(dice):
    """A figure of `dice` and a comparison, in which one of two published numbers is missing."""
    folder = results(dice)
    folder.mkdir(parents=True)
    columns = dict(row=["mean", "mode"], published=[3.5, None], ours=[3.4567891, None])
    pd.DataFrame(columns).to_csv(folder/"comparison.csv", index=False)
    figure = dice/"figures"/"dice_mean.png"
    figure.parent.mkdir()
    figure.touch()


def test_a_failure_stops_no_other_experiment_and_keeps_what_was_written(broken, compared):
    shown = call("run")
    assert shown.exit_code == 1
    for text in ("broken (smoke): failed", "ValueError: the die is lost", "(cell 5)"):
        assert text in shown.stderr
    assert "\x1b" not in shown.stderr
    files = {path.name for path in broken.iterdir()}
    assert files == {"seen.json", "comparison.csv"}, "earlier results stay, run.json does not"
    for text in ("dice (smoke): done", "figures/dice_mean.png", "3.457"):
        assert text in shown.stdout
    assert "1 of 2 published numbers have no counterpart in this run" in shown.stdout
    table = runner.status().set_index(["experiment", "profile"])
    assert table.state.to_dict() == {
        ("broken", "smoke"): "results",
        ("dice", "smoke"): "done",
        ("dice", "standard"): "never",
    }

    again = call("run", "dice")
    assert again.exit_code == 0
    assert "nothing changed" in again.stdout
    assert "results" in call("status").stdout


@pytest.mark.parametrize("arguments, message", [
    (["dize"], "error: experiment is 'dize'; allowed: dice"),
    (["dice", "--profile", "paper"],
     "error: profile of dice is 'paper'; allowed: smoke, standard"),
    (["dice", "--device", "gpu"], "error: device is 'gpu'; allowed: auto, cpu"),
    (["dice", "--set", "m=3"], "'m'; allowed: n, rate, name, sizes, fast, limit"),
    (["dice", "--set", "n=few"],
     "n in overrides of dice is 'few'; allowed: a whole number, like its default 2"),
    (["dice", "--set", "n"], "error: --set is 'n'; allowed: name=value"),
    (["dice", "--set", "sizes=[1"],
     "error: --set is 'sizes=[1'; allowed: name=value, the value in YAML"),
])
def test_a_mistake_is_one_line_before_anything_runs(dice, arguments, message):
    refused = call("run", *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stdout == ""
    files = [path.name for path in (dice/"data").iterdir()]
    assert files == ["manifest.toml"], "nothing but what the project was made with"


def test_a_folder_without_project_is_one_line(monkeypatch):
    def no_root():
        raise FileNotFoundError("no project folder")

    monkeypatch.setattr(runner, "root", no_root)
    refused = call("list")
    assert refused.exit_code == 2
    assert refused.stderr == "error: no project folder\n"


@pytest.mark.parametrize("pair, name, value", [
    ("a=1", "a", 1),
    ("b=1e-3", "b", .001),
    ("c=[1, 2]", "c", [1, 2]),
    ("d=true", "d", True),
    ("e=text", "e", "text"),
    ("f=a=b", "f", "a=b"),
    ("g=-2.5E+3", "g", -2500.),
    ("h=null", "h", None),
])
def test_values_are_yaml_and_numbers(pair, name, value):
    parsed = parse_set([pair])
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)


def test_several_values():
    assert parse_set(["a=1", "b=2"]) == dict(a=1, b=2)


CLAIM = dict(
    claim="the mean is [3.5]",
    source="us",
    expected="equal",
    effect_is="mean - 3.5",
    weakest="all",
    effect=.1234567,
    low=-.1,
    high=.3,
    n=20,
    holding="1 of 1",
    verdict="holds",
)


def test_scoreboard(dice):
    assert "nothing has been run" in call("scoreboard").stdout
    folder = results(dice)
    folder.mkdir(parents=True)
    pd.DataFrame([CLAIM]).to_csv(folder/"claims.csv", index=False)
    (folder/"provenance.json").write_text("{}")
    shown = call("scoreboard")
    assert shown.exit_code == 0
    for text in ("dice, profile smoke: 1 holds", "[3.5]", "holds", "0.1235", "[-0.1, 0.3]"):
        assert text in shown.stdout
    assert longest_line(shown.stdout) <= 100


def test_data():
    shown = call("data")
    assert shown.exit_code == 0
    assert "photo/astronaut" in shown.stdout
    table, last_line = shown.stdout.rstrip("\n").rsplit("\n", 1)
    assert "XAI_REPRO_ASSETS" in last_line
    assert longest_line(table) <= 100


def test_missing_values_are_shown_empty(capsys):
    columns = dict(name=["a", None], x=[1.23456, float("nan")], seconds=[54321.4, 2.])
    show(pd.DataFrame(columns))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["a", "1.235", "54321"]
    assert lines[3].split() == ["2"]
