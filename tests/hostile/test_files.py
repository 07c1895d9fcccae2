"""Files of a project that are damaged: each is named or made anew, and stops nothing else."""
import json
import shutil
from types import SimpleNamespace

import papermill
import pytest
from toy_project import WRITE, results, write
from typer.testing import CliRunner

from xai_repro.workbook import runner
from xai_repro.workbook.cli import app
from xai_repro.zoo import assets

CLAIMS = '''claim,source,expected,effect_is,weakest,effect,low,high,n,holding,verdict,margin
"c, of ""two""",GLIME A,greater,e,w,1.0,0.5,1.5,10,1 of 1,holds,0.05
d,GLIME A,greater,e,w,1.0,0.5,1.5,10,1 of 1,holds,0.05
'''
COMPARISON = "row,column,published,ours,low,high,inputs\nmean,n=2,3.5,3.4,3.1,3.7,20\n"
PROVENANCE = dict(
    experiment="dice", profile="smoke", data={}, code="x", date="2030-01-01", model="a die",
    dtype="torch.float32", inputs="2 throws", substitution="nothing",
)
TABLES = {
    "claims.csv": CLAIMS,
    "comparison.csv": COMPARISON,
    "provenance.json": json.dumps(PROVENANCE),
    "throws.csv": "throw\n" + "3\n"*40,
}
SAVE = f"""
for name, text in {TABLES!r}.items(): (folder/name).write_text(text)
"""
COMMANDS = [
    ("status",),
    ("sweep", "s.yaml", "--status"),
    ("scoreboard",),
    ("list",),
    ("run", "dice"),
    ("run", "dice", "--force"),
]


def halves(content):
    return content[:len(content)//2]


DAMAGES = {
    "empty": lambda content: b"",
    "half": halves,
    "all but the last line": lambda content: content[:content.rstrip().rfind(b"\n") + 1],
    "garbage": lambda content: bytes(range(256))*4,
    "zeros": lambda content: bytes(max(len(content), 10)),
    "a list": lambda content: b"[1, 2]",
    "an object": lambda content: b'{"key": 3, "cells": 4, "tables": 5}',
    "utf-16": lambda content: content.decode(errors="replace").encode("utf-16"),
    "a folder": None,
    "missing": None,
}


def files_of(project):
    """The files that are damaged, by what they are called."""
    tables = {name: results(project)/name for name in ("run.json", "seen.json", *TABLES)}
    papers, runs = project/"nbs"/"papers", project/"data"/"runs"/"dice"
    return tables | {
        "failure": runs/"smoke.json",
        "executed": runs/"smoke.ipynb",
        "profiles": papers/"profiles.toml",
        "manifest": project/"data"/"manifest.toml",
        "notebook": papers/"dice.ipynb",
        "stray": papers/"Untitled.ipynb",
    }


def damage(path, how):
    """Damage a file; whether that could be done."""
    before = path.read_bytes() if path.is_file() else None
    if how == "missing" and before is None: return False
    if path.is_file(): path.unlink()
    if how == "a folder": path.mkdir(parents=True)
    if DAMAGES[how] is None: return True
    content = b'{"cells": [],\n"metadata": {}}\n' if before is None else before
    path.write_bytes(DAMAGES[how](content))
    return True


def execute_here(source, target, values, **options):
    """What papermill does, in this process: for the notebook of `dice`."""
    namespace = dict(values)
    for cell in json.loads(source.read_text())["cells"]:
        is_given = "parameters" in cell["metadata"].get("tags", ())
        if cell["cell_type"] == "code" and not is_given: exec("".join(cell["source"]), namespace)
    target.write_text("{}")
    return SimpleNamespace(metadata=SimpleNamespace(papermill=SimpleNamespace(exception=None)))


@pytest.fixture
def finished(project, monkeypatch):
    """A project with a finished run; what is in it."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(papermill, "execute_notebook", execute_here)
    write("dice", WRITE, SAVE)
    (project/"s.yaml").write_text("jobs: [{experiment: dice}]")
    assert runner.run("dice", progress=False).state == "done"
    failure = project/"data"/"runs"/"dice"/"smoke.json"
    failure.write_text(json.dumps(dict(key="x", error="e")))
    (project/"data"/"manifest.toml").write_text("entry = []\n# a comment\n")
    return {path: path.read_bytes() for path in files_of(project).values() if path.is_file()}


def restore(project, content):
    """Put all files back."""
    for path in files_of(project).values():
        if path.is_dir(): shutil.rmtree(path)
        path.unlink(missing_ok=True)
    for path, written in content.items(): path.write_bytes(written)
    assets._manifest.cache_clear()


MADE_ANEW = {"run.json", "failure", "executed", "seen.json", *TABLES}


def fault(name, path, command, result):
    """What is wrong with the outcome of a command; "" for nothing."""
    error = result.exception
    if error is not None and not isinstance(error, SystemExit): return f"traceback: {error!r}"
    is_run = command[0] == "run"
    told = result.output + result.stderr
    is_named = path.name in told or (name == "notebook" and "dice" in told)
    if result.exit_code and not is_named: return f"the file is not named: {told[-200:]}"
    if result.exit_code and name in MADE_ANEW: return "a result stops a command"
    if result.exit_code and name == "stray": return "a stray notebook stops a command"
    unchanged = is_run and "--force" not in command and "nothing changed" in told
    is_result = name in MADE_ANEW - {"failure", "executed"}
    if unchanged and is_result: return "counted as done"
    if is_run and not result.exit_code and runner.status().state[0] == "damaged":
        return "not mended"
    return ""


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_named_or_made_anew(project, finished, tally, how):
    for name, path in files_of(project).items():
        for command in COMMANDS:
            restore(project, finished)
            if not damage(path, how): continue
            result = CliRunner().invoke(app, list(command))
            wrong = fault(name, path, command, result)
            outcome = "refused" if result.exit_code else "right"
            tally.add("wrong" if wrong else outcome, f"{name}, {how}, {command}: {wrong}")


def test_a_table_that_is_cut_off_is_shown_to_nobody(project, finished, tally):
    "Half of a table is a table too: only its checksum tells."
    for name in ("claims.csv", "comparison.csv"):
        path = results(project)/name
        path.write_bytes(DAMAGES["all but the last line"](path.read_bytes()))
    shown = CliRunner().invoke(app, ["scoreboard"])
    assert "claims.csv is damaged" in shown.stderr
    assert "holds" not in shown.stdout
    again = CliRunner().invoke(app, ["run", "dice"])
    tally.add("right" if "done in" in again.output else "wrong", again.output)


@pytest.mark.long
def test_a_kernel_mends_what_is_damaged(project, finished, tally, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("XAI_REPRO_ROOT", str(project))
    for name in sorted(MADE_ANEW):
        for how in DAMAGES:
            if not damage(files_of(project)[name], how): continue
            record = runner.run("dice", force=True, progress=False)
            tally.add("right" if record.state == "done" else "wrong", (name, how, record.error))
