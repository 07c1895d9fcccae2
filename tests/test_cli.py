"The command line: exit codes, one-line errors, and tables that can be read."
import json
import subprocess
import sys

import pandas as pd
import pytest
from test_runner import WRITE, project, results, write  # noqa: F401 (a fixture)
from typer.testing import CliRunner

from xai_repro.workbook import runner
from xai_repro.workbook.cli import app, parse_set, show


def call(*arguments):
    found = CliRunner().invoke(app, list(arguments))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def test_help_takes_no_library():
    code = "import sys; from xai_repro.workbook.cli import app\ntry: app(['-h'])\nfinally: assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    for command in ("list", "run", "status", "scoreboard", "data"): assert command in told.stdout


def test_list(project):
    told = call("list")
    assert told.exit_code == 0
    assert "dice: About dice" in told.output and "smoke, standard" in told.output and "n=2, rate=0.5" in told.output
    assert max(map(len, told.output.splitlines())) <= 100


def test_a_failure_stops_no_other_experiment_and_keeps_what_was_written(project):
    write("broken", WRITE, "raise ValueError('the die is lost')", "(folder/'later.csv').write_text('')")
    results(project, experiment="broken").mkdir(parents=True)
    (results(project, experiment="broken")/"run.json").write_text(json.dumps(dict(key="old", seconds=1)))
    pd.DataFrame(dict(row=["mean"], published=[3.5], ours=[3.4567891])).to_csv(results(project, experiment="broken")/"comparison.csv", index=False)
    results(project).mkdir(parents=True)
    pd.DataFrame(dict(row=["mean"], published=[3.5], ours=[3.4567891])).merge(pd.DataFrame(dict(row=["mean", "mode"])), how="right").to_csv(results(project)/"comparison.csv", index=False)
    (project/"figures").mkdir()
    (project/"figures"/"dice_mean.png").touch()

    told = call("run")
    assert told.exit_code == 1
    assert "broken (smoke): failed" in told.stderr and "ValueError: the die is lost" in told.stderr and "(cell 5)" in told.stderr and "\x1b" not in told.stderr
    assert {p.name for p in results(project, experiment="broken").iterdir()} == {"seen.json", "comparison.csv"}, "earlier results are kept, run.json is not"
    assert "dice (smoke): done" in told.stdout and "figures/dice_mean.png" in told.stdout and "3.457" in told.stdout
    assert "1 of 2 published numbers have no counterpart in this run" in told.stdout
    assert runner.status().set_index(["experiment", "profile"]).state.to_dict() == {("broken", "smoke"): "results", ("dice", "smoke"): "done", ("dice", "standard"): "never"}

    again = call("run", "dice")
    assert again.exit_code == 0 and "nothing changed" in again.stdout
    assert "results" in call("status").stdout


@pytest.mark.parametrize("arguments, told", [
    (["dize"], "error: experiment is 'dize'; allowed: dice"),
    (["dice", "--profile", "paper"], "error: profile of dice is 'paper'; allowed: smoke, standard"),
    (["dice", "--device", "gpu"], "error: device is 'gpu'; allowed: auto, cpu"),
    (["dice", "--set", "m=3"], "'m'; allowed: n, rate, name, sizes, fast, limit"),
    (["dice", "--set", "n=few"], "n in overrides of dice is 'few'; allowed: a whole number, like its default 2"),
    (["dice", "--set", "n"], "error: --set is 'n'; allowed: name=value"),
    (["dice", "--set", "sizes=[1"], "error: --set is 'sizes=[1'; allowed: name=value, the value in YAML"),
])
def test_a_mistake_is_told_in_one_line_before_anything_runs(project, arguments, told):
    found = call("run", *arguments)
    assert found.exit_code == 2 and told in found.stderr
    assert len(found.stderr.splitlines()) == 1 and found.stdout == ""
    assert [path.name for path in (project/"data").iterdir()] == ["manifest.toml"], "nothing but what the project was made with"


def test_a_folder_without_project_is_told_in_one_line(monkeypatch):
    def none(): raise FileNotFoundError("no project folder")
    monkeypatch.setattr(runner, "root", none)
    found = call("list")
    assert (found.exit_code, found.stderr) == (2, "error: no project folder\n")


def test_values_are_yaml_and_numbers():
    assert parse_set(["a=1", "b=1e-3", "c=[1, 2]", "d=true", "e=text", "f=a=b", "g=-2.5E+3", "h=null"]) == dict(a=1, b=.001, c=[1, 2], d=True, e="text", f="a=b", g=-2500., h=None)


def test_scoreboard(project):
    assert "nothing has been run" in call("scoreboard").stdout
    results(project).mkdir(parents=True)
    claim = dict(claim="the mean is [3.5]", source="us", expected="equal", effect_is="mean - 3.5", weakest="all", effect=.1234567, low=-.1, high=.3, n=20, holding="1 of 1", verdict="holds")
    pd.DataFrame([claim]).to_csv(results(project)/"claims.csv", index=False)
    (results(project)/"provenance.json").write_text("{}")
    told = call("scoreboard")
    assert told.exit_code == 0
    for text in ("dice, profile smoke: 1 holds", "[3.5]", "holds", "0.1235", "[-0.1, 0.3]"): assert text in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100


def test_data():
    told = call("data")
    assert told.exit_code == 0 and "photo/astronaut" in told.stdout and "XAI_REPRO_ASSETS" in told.stdout
    assert max(len(line) for line in told.stdout.splitlines()[:-1]) <= 100


def test_missing_values_are_shown_empty(capsys):
    show(pd.DataFrame(dict(name=["a", None], x=[1.23456, float("nan")], seconds=[54321.4, 2.])))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:4] == [["a", "1.235", "54321"], ["2"]]
