"Every notebook runs from top to bottom, and is kept as the project wants it."
import nbformat
import pytest
from nbdev.test import test_nb as run_notebook

from xai_repro.data import root

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
