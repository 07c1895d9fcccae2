"""Guides are followed to the letter: what a reader types is taken from the notebook and run.

In a guide a block ```sh is typed into a shell; any other block is the content of a file, which the
sentence before names in backticks, last and with a colon; code cells are typed into one Python.
"""
import json
import os
import re
import site
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from checkout_copy import copy_checkout

from xai_repro.ground import root

GUIDES = root()/"nbs"/"guides"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+)`[^`\n]*:\n+\Z")


def steps_of(text):
    """What a page of a guide asks for: (kind, content, name of the file)."""
    for block in BLOCK.finditer(text):
        language, content = block.groups()
        if language == "sh":
            yield "sh", content, ""
            continue
        named = FILE.search(text[:block.start()])
        assert named, f"no sentence before names the file of {content!r}"
        yield "file", content, named[1]


def steps(guide):
    """What a reader does, in order; a hidden cell is not seen."""
    found = []
    for cell in nbformat.read(GUIDES/f"{guide}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown": found += steps_of(cell.source)
        elif not cell.source.startswith("#| hide"): found.append(("python", cell.source, ""))
    return found


FOLLOW = """
import json, subprocess, sys
from pathlib import Path
namespace = {"__name__": "__main__"}
for kind, content, name in json.loads(Path(sys.argv[1]).read_text()):
    if kind == "python": exec(compile(content, "cell", "exec"), namespace)
    elif kind == "file":
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    else: subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", content], check=True)
"""
# `pip` installs into an environment of the reader's own, and not into the project's
SCRIPTS = {"pip": "-m pip", "xai-repro": "-m xai_repro", "pytest": "-m pytest"}


def make_environment(folder):
    """An environment with what the project's has, and room for more."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (folder/"share").symlink_to(Path(sys.prefix)/"share")     # of Jupyter
    packages, = folder.glob("lib/python*/site-packages")
    for i, known in enumerate(site.getsitepackages()):
        (packages/f"known_{i}.pth").write_text(f"import site; site.addsitedir({known!r})\n")
    for name, command in SCRIPTS.items():
        script = folder/"bin"/name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" {command} "$@"\n')
        script.chmod(0o755)


@pytest.fixture
def home(tmp_path_factory):
    """A home folder with a clone of the project, and an environment with its library."""
    folder = tmp_path_factory.mktemp("home")
    copy_checkout(folder/"xai_repro")
    make_environment(folder/"env")
    return folder


def variables(home):
    """What a reader's shell knows: an environment, and no folder of the project."""
    known = {name: value for name, value in os.environ.items()
             if not name.startswith(("XAI_REPRO", "PYTEST"))}
    return known | {
        "HOME": str(home), "PATH": f"{home}/env/bin:{sys.prefix}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(home/"xai_repro"), "HF_HUB_OFFLINE": "1",
        "XAI_REPRO_CACHE": os.environ.get("XAI_REPRO_CACHE", str(home/"cache")),
        "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}    # that is, no isolation


def follow(guide, home, folder):
    """Do what a guide says in a folder; what is printed."""
    script = home/f"{guide}.json"
    script.write_text(json.dumps(steps(guide)))
    ran = subprocess.run(
        [home/"env"/"bin"/"python", "-c", FOLLOW, script], cwd=folder, env=variables(home),
        capture_output=True, text=True)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-6000:]
    return ran.stdout


def test_a_model_of_ones_own(home, tmp_path):
    printed = follow("own_model", home, tmp_path)
    assert "The selection alone predicts class" in printed
    assert "stability_soft_vs_hard (smoke" in printed
    assert "the page: report/report.html" in printed
    page = (tmp_path/"report"/"report.md").read_text()
    assert page.count("\n## ") == 6      # five papers, and how a verdict is made
    assert "run failed" not in page
    assert (tmp_path/"report"/"report.html").exists()


def test_a_method_of_ones_own(home, tmp_path):
    printed = follow("own_method", home, tmp_path).splitlines()
    assert "d + 1" in printed, "the method is a row"
    assert "True" in printed, "and so is the metric"
    assert any(line.startswith("1 passed") for line in printed)
    values, = (home/"xai_repro"/"data"/"results").glob("cross_examination/smoke/values.csv")
    table = pd.read_csv(values)
    assert "left_out" in set(table.method)
    assert table.half.between(1, 200).all()


def test_a_paper(home):
    checkout = home/"xai_repro"
    printed = follow("add_paper", home, checkout)
    assert "coins_first, profile standard: 1 holds" in printed
    assert " failed" not in printed
    assert sum(map(int, re.findall(r"(\d+) passed", printed))) >= 8
    notebook = nbformat.read(checkout/"nbs"/"papers"/"coins_first.ipynb", as_version=4)
    theirs = [cell.source.removeprefix("#| hide\n") for cell in notebook.cells]
    ours = [content for kind, content, _ in steps("add_paper") if kind == "python"]
    assert set(ours) <= set(theirs), "the guide shows the notebook's cells"
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "0.61" in text, "what the paper prints, as the reader has written it"
    stored = [path.name for path in (checkout/"data"/"results"/"coins_first").iterdir()]
    assert sorted(stored) == ["smoke", "standard"]
    assert "| coins | 1 | 0 | 0 | 0 |" in (checkout/"README.md").read_text()


def test_other_libraries(home, tmp_path):
    for library in ("captum", "quantus", "shapiq", "zennit"): pytest.importorskip(library)
    assert "Of the selection" in follow("interoperability", home, tmp_path)


@pytest.mark.parametrize("guide", [path.stem for path in sorted(GUIDES.glob("*.ipynb"))])
def test_a_guide_begins_with_three_lines(guide):
    first = nbformat.read(GUIDES/f"{guide}.ipynb", as_version=4).cells[0].source
    title, _, *abstract = first.splitlines()
    assert title.startswith("# ")
    assert len(abstract) == 3 and all(line.startswith("> ") for line in abstract)


@pytest.mark.parametrize("text, message", [
    ("Write:\n\n```python\nx = 1\n```", "no sentence before names"),
    ("Write `x.py`, and more.\n\n```python\nx = 1\n```", "no sentence before names")])
def test_a_block_without_a_file_is_no_guide(text, message):
    with pytest.raises(AssertionError, match=message): list(steps_of(text))


def test_what_a_page_asks_for():
    text = "Do it.\n\n```sh\nls\n```\n\nWrite `a/b.csv`:\n\n```csv\n1,2\n```\n"
    assert list(steps_of(text)) == [("sh", "ls\n", ""), ("file", "1,2\n", "a/b.csv")]
