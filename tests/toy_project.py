"""A throw-away project with one experiment, `dice`, and the command line on it."""
import json

import nbformat
from typer.testing import CliRunner

from xai_repro.ground import root
from xai_repro.workbook.cli import app
from xai_repro.zoo import assets

DEFAULTS = '''
profile = "smoke"
results = ""
device = "auto"
n = 2
rate = 0.5
name = "a#b=c"  # a note
sizes = [
    1,
    2]
fast = False
limit = None
'''
WRITE = """
import json, os, sys
from pathlib import Path
root = os.environ["XAI_REPRO_ROOT"]
folder = Path(os.environ["XAI_REPRO_RUN"])
folder.mkdir(parents=True, exist_ok=True)
finished = (folder/"run.json").exists()
seen = dict(python=sys.executable, root=root, here=os.getcwd(), profile=profile, n=n, name=name,
            sizes=sizes, finished=finished)
(folder/"seen.json").write_text(json.dumps(seen))
"""
KERNEL = dict(name="python3", display_name="Python 3", language="python")


def code_cell(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata=dict(tags=list(tags)))


def text_cell(source):
    return nbformat.v4.new_markdown_cell(source)


def write(name, *sources, defaults=DEFAULTS, tags=("parameters",)):
    """An experiment's notebook."""
    cells = [text_cell(f"Text.\n\n# About {name}"), code_cell(defaults, *tags)]
    cells.append(code_cell(f"experiment = {name!r}"))
    cells += map(code_cell, sources)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=KERNEL))
    path = root()/"nbs"/"papers"/f"{name}.ipynb"
    nbformat.write(notebook, path)


def write_manifest(project, text="entry = []"):
    assets._manifest.cache_clear()
    (project/"data"/"manifest.toml").write_text(text)


def results(project, name="smoke", experiment="dice"):
    return project/"data"/"results"/experiment/name


def edit(project, change):
    path = project/"nbs"/"papers"/"dice.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def replace_cell(project, position, source):
    def replace(notebook):
        notebook.cells[position].source = source

    edit(project, replace)


def call(*arguments):
    """The outcome of a command, which ended in order."""
    result = CliRunner().invoke(app, list(arguments))
    error = result.exception
    assert error is None or isinstance(error, SystemExit), error
    return result


def make_project(folder):
    """Write the project, and make another kernel that is called python3."""
    another = folder/"jupyter"/"kernels"/"python3"
    papers = folder/"nbs"/"papers"
    for each in (another, papers, folder/"data"):
        each.mkdir(parents=True)
    kernel = dict(argv=["/bin/false"], display_name="another", language="python")
    (another/"kernel.json").write_text(json.dumps(kernel))
    write_manifest(folder)
    (papers/"profiles.toml").write_text("[dice.standard]\nn = 20\nsizes = [3]\n")
    write("dice", WRITE)
    return folder
