"Every notebook runs from top to bottom, and is kept as the project wants it."
import ast

import nbformat
import pytest
from nbdev.test import test_nb as run_notebook

from xai_repro.ground import root

NOTEBOOKS = sorted(p for p in (root()/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
NAMES = [str(p.relative_to(root()/"nbs").with_suffix("")) for p in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_runs(path):
    passed, _ = run_notebook(path)
    assert passed, f"{path.name} failed: its error is printed above"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_kept_well(path):
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}, "a live notebook's widgets are not kept"
    tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == (path.parent.name == "papers"), "a notebook in nbs/papers has exactly one cell tagged parameters, the others none"
    assert not [o for c in cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.parent.name == "papers"], ids=lambda p: p.stem)
def test_paper_notebooks_are_committed_with_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    kinds = [k for c in cells for o in c.get("outputs", []) for k in o.get("data", {})]
    assert "text/html" in kinds, "a reader who only scrolls sees the tables"
    drawn = sum(".save_figure(" in c.source for c in cells if c.cell_type == "code")
    assert kinds.count("image/png") == drawn > 0, "and every figure"


def ends_in_something_to_see(source: str) -> bool:
    "A name, or what is made of one: what a test or a method called for its effect returns is not meant to be seen."
    body = [] if source.startswith("%") else ast.parse(source).body
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if isinstance(last, ast.Call): return ast.unparse(last.func).startswith("pd.DataFrame") or ast.unparse(last.func) in ("Markdown", "display", "print")
    return last is not None and not source.rstrip().endswith(";") and not isinstance(last, ast.IfExp)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_a_cell_ends_in_is_shown(path):
    silent = [c.source for c in nbformat.read(path, as_version=4).cells
              if c.cell_type == "code" and not c.source.startswith("#| hide") and "#| export" not in c.source and ends_in_something_to_see(c.source) and not c.get("outputs")]
    assert not silent, "committed without the output that a reader expects: run make outputs NB=" + path.name


def test_what_is_to_see():
    seen = ["x", "x.y", "pd.DataFrame(rows).round(2)", "a = 1\n(a, a)", "Markdown('x')", "[c for c in 'ab']", "f'{x}'"]
    unseen = ["x = 1", "test_eq(1, 1)", "found.append(1)", "fig;", "", "claims.append(1)"]
    assert [ends_in_something_to_see(s) for s in seen + unseen] == [True]*len(seen) + [False]*len(unseen)
