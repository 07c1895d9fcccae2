"""The command line: exit codes, one-line errors, and tables that can be read."""
import json
import subprocess
import sys
from importlib.metadata import version

import pandas as pd
import pytest
from toy_project import DEFAULTS, WRITE, call, results, write

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
    assert [line.rstrip() for line in shown.output.splitlines()] == [
        "experiment  paper  time  what it asks",
        "─────────────────────────────────────",
        "dice                     About dice",
        "",
        "xai-repro list NAME shows one; xai-repro run NAME runs it",
    ]


OF_ONE = """\
dice: About dice

    tests       Text.

parameter  smoke    standard
────────────────────────────
n          2        20
rate       0.5
name       "a#b=c"
sizes      [1, 2]   [3]
fast       false
limit      null

stored, profile smoke:

claim              verdict  holding  effect            n
────────────────────────────────────────────────────────
the mean is [3.5]  holds    1 of 1   .12 [-.10, .30]  20

    writes      data/results/dice/PROFILE/: claim_cells.csv, claims.csv,
                provenance.json, run.json, values.csv
    figures     dice_mean.png
"""


def test_list_of_one_shows_all_of_it(dice):
    write("dice", "run.save(values=1)\nwith wb.figure('dice_mean') as (fig, ax): pass")
    store_claims(dice, [CLAIM])
    shown = call("list", "dice")
    assert [line.rstrip() for line in shown.stdout.splitlines()] == OF_ONE.splitlines()
    write("roll")
    mistyped = call("list", "dise")
    assert mistyped.exit_code == 2
    assert "allowed: dice, roll; did you mean 'dice'?" in mistyped.stderr


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
    """A comparison of `dice`, in which one of two published numbers is missing."""
    folder = results(dice)
    folder.mkdir(parents=True)
    columns = dict(row=["mean", "mode"], published=[3.5, None], ours=[3.4567891, None])
    pd.DataFrame(columns).to_csv(folder/"comparison.csv", index=False)


def test_a_failure_stops_no_other_experiment_and_keeps_what_was_written(broken, compared):
    shown = call("run", "--compare")
    assert shown.exit_code == 1
    for text in ("broken (smoke): failed", "ValueError: the die is lost", "(cell 5)"):
        assert text in shown.stderr
    assert "\x1b" not in shown.stderr
    files = {path.name for path in broken.iterdir()}
    assert files == {"run.json", "comparison.csv"}, "earlier results stay"
    for text in ("dice (smoke): done", "runs/dice/smoke.html", "3.457"):
        assert text in shown.stdout
    assert "1 of 2 published numbers have no counterpart in this run" in shown.stdout
    table = runner.status().set_index(["experiment", "profile"])
    assert table.state.to_dict() == {
        ("broken", "smoke"): "stale",
        ("dice", "smoke"): "done",
        ("dice", "standard"): "never",
    }

    again = call("run", "dice")
    assert again.exit_code == 0
    assert "nothing changed" in again.stdout
    assert "stale" in call("status").stdout


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


OPPOSED = CLAIM | dict(
    claim="the median is above the mean, whatever the die and whatever its sides",
    source="GLIME Table 1",
    verdict="contradicted",
    holding="11 of 12",
    effect=-.031,
    low=-.05,
    high=-.012,
    n=1000,
)


def store_claims(project, claims, experiment="dice"):
    """Claims of a finished run."""
    folder = results(project, experiment=experiment)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(claims).to_csv(folder/"claims.csv", index=False)
    (folder/"provenance.json").write_text("{}")


def test_scoreboard(dice):
    assert "nothing has been run" in call("scoreboard").stdout
    store_claims(dice, [CLAIM, OPPOSED])
    shown = call("scoreboard")
    assert shown.exit_code == 0
    lines = [line.rstrip() for line in shown.stdout.splitlines()]
    assert lines[:6] == [
        "",
        "dice, profile smoke: 1 holds, 1 contradicted",
        "",
        "claim                         verdict       holding   effect                   n",
        "────────────────────────────────────────────────────────────────────────────────",
        "the mean is [3.5]             holds         1 of 1    .12 [-.10, .30]         20",
    ]
    assert "contradicted  11 of 12  -.031 [-.050, -.012]  1000" in lines[6]


BOTH = {"the mean", "the median"}


@pytest.mark.parametrize("arguments, expected", [
    ([], BOTH),
    (["glime"], {"the median"}),
    (["Soft-Stability"], set()),
    (["dice"], BOTH),
    (["--only", "holds"], {"the mean"}),
    (["--only", "reproduced"], {"the mean"}),
    (["--only", "opposed"], {"the median"}),
    (["--only", "not reproduced"], {"the median"}),
    (["--only", "not-reproduced"], {"the median"}),
    (["--only", "contradicted"], {"the median"}),
    (["--only", "undecided"], set()),
    (["GLIME", "--only", "inconclusive"], set()),
    (["GLIME", "--only", "opposed"], {"the median"}),
])
def test_only_some_of_the_claims(dice, arguments, expected):
    store_claims(dice, [CLAIM, OPPOSED])
    shown = call("scoreboard", *arguments)
    assert shown.exit_code == 0
    assert {text for text in BOTH if text in shown.stdout} == expected
    assert ("no claim is like that" in shown.stdout) == (not expected)


def test_claims_that_cannot_be_run_have_their_reason(dice):
    columns = dict(paper="LiMA", place="Table I", statement="it leads", reason="no weights")
    pd.DataFrame([columns]).to_csv(dice/"data"/"not_run.csv", index=False)
    shown = call("scoreboard", "lima", "--only", "not run").stdout.splitlines()
    assert shown[2].split() == ["LiMA", "Table", "I", "it", "leads", "no", "weights"]
    assert len(call("scoreboard", "glime", "--only", "not run").stdout.splitlines()) == 2


@pytest.mark.parametrize("arguments, message", [
    (["GLIMY"], "error: paper is 'glimy'; allowed: glime, lfa, soft stability, lime-g, lima"),
    (["--only", "oposed"], "error: verdict is 'oposed'; allowed: reproduced, not reproduced,"),
])
def test_what_the_scoreboard_does_not_know(dice, arguments, message):
    store_claims(dice, [CLAIM])
    refused = call("scoreboard", *arguments)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(message)
    assert "did you mean" in refused.stderr


@pytest.mark.parametrize("variables, is_coloured", [
    ({}, False),
    ({"FORCE_COLOR": "1"}, True),
    ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
])
def test_verdicts_are_coloured_in_a_terminal(dice, monkeypatch, variables, is_coloured):
    for name in ("FORCE_COLOR", "NO_COLOR"): monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "COLORTERM": "truecolor", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    store_claims(dice, [CLAIM, OPPOSED])
    green, red = "\x1b[38;2;0;158;115mholds", "\x1b[38;2;213;94;0mcontradicted"
    shown = call("scoreboard").stdout
    assert (green in shown) == (red in shown) == is_coloured


def test_every_table_is_80_columns_wide_at_most(dice):
    store_claims(dice, [CLAIM, OPPOSED])
    long = "LIME is less stable than GLIME at every σ and n, and what follows from it"
    write("a_name_that_is_quite_long_indeed", defaults=f'{DEFAULTS}\ntext = "{long}"\n')
    (results(dice)/"run.json").write_text(json.dumps(dict(
        key="old", finished="2026-01-01", seconds=12345.6, versions=dict(numpy="1", scipy="2"),
        parameters=dict(sizes=list(range(100)), text=long))))
    commands = [["list"], ["list", "dice"], ["list", "a_name_that_is_quite_long_indeed"],
                ["scoreboard"], ["status"], ["status", "--why"], ["-h"], ["run", "-h"],
                ["scoreboard", "-h"], ["new", "-h"], ["sweep", "-h"]]
    for command in commands:
        shown = call(*command)
        assert shown.exit_code == 0
        assert longest_line(shown.stdout) <= 80, command
    assert longest_line(call("scoreboard").stdout) == 80


WHY = """\
dice (smoke) is out of date:
    code        explain.lfa.glime (new), explain.lfa.lime, explain.lfa.ridge
                (gone)
    parameters  n 2, now 3
    data        published/dice
    packages    numpy 0.1, now {numpy}
"""


def test_why_a_run_is_out_of_date(dice, monkeypatch):
    parts = {"explain.lfa": "lime:1 ridge:1 fit:1", "value": "moved:5"}
    monkeypatch.setattr(runner, "code_parts", lambda source: parts)
    assert "no stored run is out of date" in call("status", "--why").stdout
    assert call("run", "dice").exit_code == 0
    assert "no stored run is out of date" in call("status", "--why").stdout

    now = {"explain.lfa": "lime:2 glime:1 fit:1", "checks": "moved:5"}
    monkeypatch.setattr(runner, "code_parts", lambda source: now)
    write("dice", WRITE, "x = 1", defaults=DEFAULTS.replace("n = 2", "n = 3"))
    folder = results(dice)
    record = json.loads((folder/"run.json").read_text())
    assert record["code"] == parts, "what the code was is kept"
    record["versions"]["numpy"] = "0.1"
    (folder/"run.json").write_text(json.dumps(record))
    (folder/"provenance.json").write_text(json.dumps(dict(data={"published/dice": "other"})))
    expected = WHY.format(numpy=version("numpy"))
    assert expected in call("status", "--why").stdout
    assert "is out of date" not in call("status").stdout

    del record["code"]
    (folder/"run.json").write_text(json.dumps(record))
    told = " ".join(call("status", "--why").stdout.split())
    assert "code which part is not known: the run is older than the records by part" in told


def test_a_run_of_other_parameters_alone_has_the_same_code(dice):
    assert call("run", "dice").exit_code == 0
    write("dice", WRITE, defaults=DEFAULTS.replace("rate = 0.5", "rate = 0.25"))
    shown = call("status", "--why").stdout
    assert "    parameters  rate 0.5, now 0.25\n" in shown
    assert "    code" not in shown


def test_data():
    shown = call("data")
    assert shown.exit_code == 0
    assert "photo/astronaut" in shown.stdout
    table, last_line = shown.stdout.rstrip("\n").rsplit("\n", 1)
    assert "XAI_REPRO_ASSETS" in last_line
    assert longest_line(table) <= 80


def test_missing_values_are_shown_empty(capsys):
    columns = dict(name=["a", None], x=[1.23456, float("nan")], seconds=[54321.4, 2.])
    show(pd.DataFrame(columns))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["a", "1.235", "54321"]
    assert lines[3].split() == ["2"]
