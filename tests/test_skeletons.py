"""New papers and methods: what is written runs, and passes the project's own tests."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from checkout_copy import copy_checkout, run_in, start_in
from toy_project import call

from xai_repro.ground import root
from xai_repro.workbook import skeletons

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what a checkout needs, with a new paper and a new method."""
    folder = copy_checkout(tmp_path_factory.mktemp("checkout"))
    for command in (("new", "paper", "dice"), ("new", "method", "both_ends")):
        run_in(folder, "-m", "xai_repro", *command)
    return folder


def test_a_new_paper_is_registered_where_papers_are(checkout):
    assert '    "dice": "authors (where and when)",\n}' in (
        checkout/"xai_repro"/"workbook"/"ledger.py").read_text()
    contents = (checkout/"nbs"/"_toc.yml").read_text()
    assert contents.count("  - file: nbs/papers/dice_first\n") == 1
    assert contents.count("  - file: nbs/explain/both_ends\n") == 1
    assert "[dice_first.standard]" in (checkout/"nbs"/"papers"/"profiles.toml").read_text()
    assert (checkout/"data"/"published"/"dice.csv").read_text().startswith("paper,table,row,column")
    notebook = nbformat.read(checkout/"nbs"/"papers"/"dice_first.ipynb", as_version=4)
    kinds = [kind for cell in notebook.cells for output in cell.get("outputs", ())
             for kind in output.get("data", {})]
    assert "text/html" in kinds
    assert kinds.count("image/png") == 1
    assert (checkout/"figures"/"dice_first.png").exists()


def test_a_new_paper_runs_and_is_listed(checkout):
    assert "dice_first (smoke): done in" in run_in(
        checkout, "-m", "xai_repro", "run", "dice_first")
    results = checkout/"data"/"results"/"dice_first"/"smoke"
    tables = {"claims.csv", "claim_cells.csv", "comparison.csv", "provenance.json", "run.json"}
    assert {path.name for path in results.iterdir()} == tables
    record = json.loads((results/"run.json").read_text())
    assert {"notebook", "workbook.claims", "workbook.comparison"} <= set(record["code"])
    listed = run_in(checkout, "-m", "xai_repro", "list", "dice_first")
    assert "    credits     Table 1\n" in listed
    assert "n_draws    40     400" in listed
    scores = run_in(checkout, "-m", "xai_repro", "scoreboard", "dice")
    assert "dice_first, profile smoke: 1 undecided" in scores


def test_a_new_method_is_a_row(checkout):
    code = "import xai_repro as xr; print(xr.METHODS['both_ends'].cost, len(xr.METHODS))"
    n_before = len(run_in(root(), "-c", "import xai_repro as xr; print(*xr.METHODS)").split())
    assert run_in(checkout, "-c", code).split() == ["d", "+", "1", str(n_before + 1)]


def test_both_pass_the_projects_own_tests(checkout):
    files = ("notebooks", "documentation", "architecture", "methods", "both_ends")
    paths = [f"tests/test_{name}.py" for name in files]
    chosen = "dice_first or both_ends or no_cell_is_long"
    shown = run_in(checkout, "-m", "pytest", "-p", "no:cacheprovider", *paths, "-k", chosen)
    assert " failed" not in shown
    assert shown.split("[100%]")[0].count(".") >= 15


def test_a_name_is_taken_once(checkout):
    for command in (("new", "paper", "dice"), ("new", "method", "both_ends")):
        ran = start_in(checkout, "-m", "xai_repro", *command)
        assert ran.returncode == 2
        assert ran.stderr.startswith(f"error: NAME is '{command[2]}', and there is ")


@pytest.mark.parametrize("command, message", [
    (("paper", "glime"), "NAME is 'glime', and there is a paper glime; allowed: another"),
    (("paper", "soft_stability"), "NAME is 'soft_stability', and there is a paper soft stability"),
    (("method", "lime"), "NAME is 'lime', and there is a method lime; allowed: another"),
    (("method", "maps"), "NAME is 'maps', and there is nbs/explain/maps.ipynb"),
    (("method", "class"), "NAME is 'class'; allowed: small letters, digits and _"),
    (("method", "two words"), "NAME is 'two words'; allowed: small letters"),
    (("method", "../up"), "NAME is '../up'; allowed: small letters"),
    (("paper", "Dice"), "NAME is 'Dice'; allowed: small letters"),
])
def test_names_that_are_refused(command, message):
    before = sorted((root()/"nbs").rglob("*.ipynb"))
    refused = call("new", *command)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert sorted((root()/"nbs").rglob("*.ipynb")) == before


def test_nothing_is_written_where_a_file_is_not_as_expected(project):
    papers = project/"nbs"/"papers"
    (project/"nbs"/"_toc.yml").write_text("parts: []\n")
    (project/"nbs"/"workbook").mkdir()
    shutil.copy(ROOT/"nbs"/"workbook"/"ledger.ipynb", project/"nbs"/"workbook"/"ledger.ipynb")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    refused = call("new", "paper", "roll")
    assert refused.exit_code == 2
    assert "_toc.yml has no single line '- caption: Networks of our own" in refused.stderr
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert not (papers/"roll_first.ipynb").exists()


def test_elsewhere_a_method_is_a_package_with_a_test(tmp_path, monkeypatch):
    monkeypatch.delenv("XAI_REPRO_ROOT")
    monkeypatch.chdir(tmp_path)
    assert not skeletons.in_checkout()
    written = call("new", "method", "both_ends")
    assert written.exit_code == 0
    package = tmp_path/"xai-repro-both-ends"
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "xai_repro_both_ends.py", "tests/test_both_ends.py"}
    entry = 'points."xai_repro.methods"]\nboth_ends = "xai_repro_both_ends:ROW"\n'
    assert entry in (package/"pyproject.toml").read_text()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=package,
        capture_output=True, text=True)
    assert "1 passed" in ran.stdout, ran.stdout
    assert "there is a folder xai-repro-both-ends" in call("new", "method", "both_ends").stderr
