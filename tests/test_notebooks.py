"""Every notebook runs from top to bottom, and is stored as the project wants it."""
import ast

import nbformat
import pytest
from nbdev.test import test_nb as run_notebook

from xai_repro.ground import root

NBS = root()/"nbs"
NOTEBOOKS = [p for p in sorted(NBS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
FIGURES = [path.stem for path in (root()/"figures").glob("*.png")]
OF_PAPERS = [p for p in NOTEBOOKS if p.parent.name == "papers"]


def name_of(path) -> str:
    return str(path.relative_to(NBS).with_suffix(""))


def read(path):
    return nbformat.read(path, as_version=4)


def outputs_of(cells) -> list:
    return [output for cell in cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_runs(path):
    passed, _ = run_notebook(path)
    assert passed, f"{path.name} failed: its error is printed above"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_stored_well(path):
    notebook = read(path)
    live = set(notebook.metadata) - {"kernelspec", "language_info"}
    assert not live, "a live notebook's widgets are not stored"
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    n_parameters = sum("parameters" in tag for tag in tags)
    message = "one cell of a paper's notebook is tagged parameters, and none of another"
    assert n_parameters == (path in OF_PAPERS), message
    kinds = [output.output_type for output in outputs_of(notebook.cells)]
    assert "error" not in kinds
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("path", OF_PAPERS, ids=lambda p: p.stem)
def test_paper_notebooks_are_committed_with_outputs(path):
    outputs = outputs_of(read(path).cells)
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert "text/html" in kinds, "a reader who only scrolls sees the tables"
    saved = [figure for figure in FIGURES if f"{figure}_".startswith(f"{path.stem}_")]
    assert kinds.count("image/png") == len(saved) > 0, "and every figure"


SHOWN_CALLS = ("Markdown", "display", "print")


def is_shown(last: ast.expr) -> bool:
    """Whether a cell's last expression is there to be seen.

    A name, or what is made of one, is: what a test or a method called for its effect returns is
    not.
    """
    if isinstance(last, ast.IfExp): return False
    if not isinstance(last, ast.Call): return True
    function = ast.unparse(last.func)
    return function.startswith("pd.DataFrame") or function in SHOWN_CALLS


def ends_in_something_to_see(source: str) -> bool:
    """Whether a reader expects an output of a cell."""
    if source.startswith("%") or source.rstrip().endswith(";"): return False
    body = ast.parse(source).body
    if not body or not isinstance(body[-1], ast.Expr): return False
    return is_shown(body[-1].value)


def is_for_readers(cell) -> bool:
    """Whether a cell is an example, neither hidden nor the module's own."""
    if cell.cell_type != "code": return False
    return not cell.source.startswith("#| hide") and "#| export" not in cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_what_a_cell_ends_in_is_shown(path):
    examples = [cell for cell in read(path).cells if is_for_readers(cell)]
    expected = [cell for cell in examples if ends_in_something_to_see(cell.source)]
    silent = [cell.source for cell in expected if not cell.get("outputs")]
    assert not silent, f"committed without its output: run make outputs NB={name_of(path)}.ipynb"


@pytest.mark.parametrize("source", [
    "x", "x.y", "pd.DataFrame(rows).round(2)", "a = 1\n(a, a)", "Markdown('x')",
    "[c for c in 'ab']", "f'{x}'"])
def test_what_is_to_see(source):
    assert ends_in_something_to_see(source)


@pytest.mark.parametrize("source", [
    "x = 1", "test_eq(1, 1)", "found.append(1)", "fig;", "", "claims.append(1)"])
def test_what_is_not_to_see(source):
    assert not ends_in_something_to_see(source)
