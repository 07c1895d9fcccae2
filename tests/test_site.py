"The site's builder and the README's (tools/): what is laid out, and which links lead nowhere."
import importlib.util
import re
from types import ModuleType
from urllib.request import urlopen

import nbformat
import pytest

from xai_repro.ground import root


def load_tool(name: str) -> ModuleType:
    "A file of tools/ as a module."
    spec = importlib.util.spec_from_file_location(f"tool_{name}", root()/"tools"/f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = load_tool("site")
readme = load_tool("readme").readme


@pytest.mark.parametrize("source, tags, paper, tag", [
    ("x = 1", ["parameters"], True, None),
    ("x = 1", [], True, "hide-input"),
    ("x = 1", [], False, None),
    ("#| hide\nimport re", [], False, "hide-input"),
    ("f()", ["output"], False, "remove-input"),
    ("f()", ["hide"], False, "remove-cell"),
    ("#| default_exp site", [], False, "remove-cell")])
def test_how_a_cell_is_shown(source, tags, paper, tag):
    assert site.tag_of(source, tags, paper) == tag


def test_every_notebook_is_staged_and_stands_once_in_the_table_of_contents(tmp_path):
    source = tmp_path/"source"
    site.stage(source)
    staged = [path.relative_to(source).with_suffix("") for path in source.rglob("*.ipynb")]
    contents = (source/"_toc.yml").read_text()
    listed = re.findall(r"(?:file|root): (nbs/\S+)", contents)
    assert sorted(listed) == sorted(map(str, staged))
    assert {"nbs/index", "nbs/papers/claims", "nbs/checks"} <= set(listed)
    checks = nbformat.read(source/"nbs"/"checks.ipynb", as_version=4)
    codes = [cell.source for cell in checks.cells if cell.cell_type == "code"]
    assert codes
    assert not any(site.DIRECTIVE.search(code) for code in codes)
    assert (source/"_static"/"site.css").exists()


def test_links_to_notebooks_become_links_to_pages_and_broken_ones_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="make site"):
        site.broken(tmp_path)
    (tmp_path/"a.html").write_text(
        '<a href="b.ipynb#x">b</a> <a href="c.ipynb">c</a> <a href="#here">here</a> <p id="here"> '
        '<img src="gone.png"> <a href="https://elsewhere.invalid/x">x</a> '
        '<a href="b.html#nowhere">')
    (tmp_path/"b.html").write_text('<h1 id="x">b</h1>')
    assert [page.name for page in site.pages(tmp_path)] == ["a.html", "b.html"]
    assert site.mend(tmp_path) == 2
    assert site.broken(tmp_path).to_numpy().tolist() == [
        ["a.html", "c.ipynb", "no such file"], ["a.html", "gone.png", "no such file"],
        ["a.html", "b.html#nowhere", "no such anchor"]]


def test_a_folder_is_served_to_this_machine(tmp_path):
    (tmp_path/"a.html").write_text("a page")
    with site.served(tmp_path) as address:
        assert address.startswith("http://127.0.0.1:")
        assert urlopen(f"{address}/a.html").read() == b"a page"


def test_no_browser_is_an_error_where_one_is_asked_for(tmp_path):
    (tmp_path/"a.html").write_text("a page")
    with pytest.raises(Exception):     # noqa: B017 - playwright's, or an ImportError without it
        site.look(tmp_path, "/no/browser")


def test_the_check_lists_what_is_wrong_and_passes_what_is_not(tmp_path, capsys):
    (tmp_path/"a.html").write_text('<a href="b.html">b</a>')
    with pytest.raises(ValueError, match=r"a\.html: b\.html \(no such file\)"):
        site.check(tmp_path, "/no/browser")
    (tmp_path/"b.html").write_text('<a href="a.html">a</a>')
    site.check(tmp_path, "/no/browser")
    assert "2 pages, all links and pictures there (no browser" in capsys.readouterr().out


def tagged(source: str, *tags: str) -> nbformat.NotebookNode:
    "A code cell with tags and an output."
    outputs = [nbformat.v4.new_output("stream", text="21\n")]
    return nbformat.v4.new_code_cell(source, metadata=dict(tags=list(tags)), outputs=outputs)


def test_the_readme_leaves_out_what_is_tagged(tmp_path):
    text = nbformat.v4.new_markdown_cell("# Dice\n\n[a figure](../figures/dice.png)")
    cells = [text, tagged("unseen()", "hide"), tagged("total()", "output")]
    path = tmp_path/"index.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    made = readme(path).split("\n", 2)[2]
    assert made == "# Dice\n\n[a figure](figures/dice.png)\n\n    21\n"


def test_readme_is_the_index_notebook():
    assert (root()/"README.md").read_text() == readme(), "run `make readme`"
