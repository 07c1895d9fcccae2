"""README.md, made from nbs/index.ipynb so that what it says has been run: python tools/readme.py"""
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from traitlets.config import Config

from xai_repro.ground import root

NOTE = "<!-- made from nbs/index.ipynb by `make readme`: edit that -->"


def readme(notebook: Path | None = None) -> str:
    """A notebook (nbs/index.ipynb by default) as markdown, as README.md holds it.

    A cell tagged `hide` is left out; of one tagged `output` only the output stays.
    """
    cells = nbformat.read(notebook or root()/"nbs"/"index.ipynb", as_version=4)
    cells.metadata.language_info = {"name": "python"}
    remove = {"enabled": True, "remove_cell_tags": ["hide"], "remove_input_tags": ["output"]}
    exporter = MarkdownExporter(config=Config(TagRemovePreprocessor=remove))
    text, _ = exporter.from_notebook_node(cells)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"{NOTE}\n\n{text.replace('../', '')}\n"


if __name__ == "__main__":
    (root()/"README.md").write_text(readme())
