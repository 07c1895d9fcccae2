"""Imports go one way, nothing heavy is loaded before it is needed, and the style holds."""
import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xai_repro.ground import root

LIBRARY = root()/"xai_repro"
MODULES = sorted(p for p in LIBRARY.rglob("*.py") if p.name != "_modidx.py")
TESTS = sorted((root()/"tests").rglob("*.py"))

# what each part may import besides itself: see "Layout" in the architecture notes of README
BELOW = {
    "checks": set(),
    "ground": {"checks"},
    "cache": {"checks", "ground"},
    "value": {"checks", "ground", "cache", "modes"},
    "modes": set(),
    "outputs": {"checks"},
    "vision_transformers": {"checks", "modes"},
    "inputs": {"checks", "modes", "outputs", "ground", "cache", "value", "vision_transformers"},
    "explain": {"checks", "modes", "outputs", "ground", "cache", "value", "vision_transformers"},
    "evaluate": {"checks", "modes", "outputs", "ground", "cache", "value", "explain"},
    "zoo": {"checks", "modes", "outputs", "ground", "cache", "value", "vision_transformers",
            "inputs"},
    "bridges": {"checks", "modes", "outputs", "value", "inputs", "explain", "evaluate"},
    "workbook": {"checks", "modes", "outputs", "ground", "cache", "value", "vision_transformers",
                 "inputs", "explain", "evaluate", "zoo", "wrapping"},
    # the face, which resolves names of models, and what existing users go on with
    "wrapping": {"checks", "ground", "inputs", "outputs", "zoo"},
    "api": {"cache", "checks", "modes", "inputs", "explain", "evaluate", "wrapping", "zoo"},
    "_compat": {"checks", "explain", "inputs", "value"},
    "_aliases": set(),
    "__init__": {"_aliases"},
    "__main__": {"workbook"},
}


def name_of(path: Path) -> tuple[str, ...]:
    """A module's full name, as its parts."""
    parts = path.relative_to(root()).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def module_in(parts: tuple[str, ...]) -> str:
    """The module that a dotted name lies in: itself, or the one that defines it."""
    if (root().joinpath(*parts)).with_suffix(".py").exists(): return ".".join(parts)
    if (root().joinpath(*parts)/"__init__.py").exists(): return ".".join(parts)
    return ".".join(parts[:-1])


def imported_by(path: Path, everywhere: bool) -> set[str]:
    """Modules of the library that a module imports: at its top, or in its functions too."""
    tree = ast.parse(path.read_text())
    package = name_of(path) if path.name == "__init__.py" else name_of(path)[:-1]
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("xai_repro")]
            found |= {module_in(tuple(name.split("."))) for name in names}
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) - node.level + 1] if node.level else ()
            base = (*start, *(node.module.split(".") if node.module else ()))
            if base[:1] != ("xai_repro",): continue
            found |= {module_in((*base, alias.name)) for alias in node.names}
    return found - {"xai_repro"}


def part_of(module: str) -> str:
    """The part of the library that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: ".".join(name_of(p)))
def test_imports_go_down(path):
    own = part_of(".".join(name_of(path)))
    needs = {part_of(module) for module in imported_by(path, everywhere=True)}
    assert needs <= BELOW[own] | {own}


def test_no_module_needs_one_that_needs_it():
    needs = {".".join(name_of(path)): imported_by(path, everywhere=False) for path in MODULES}
    assert sum(map(len, needs.values())) > 200, "the imports are seen"

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = set(needs.get(start, ()))
        while waiting:
            name = waiting.pop()
            if name in found: continue
            found.add(name)
            waiting |= needs.get(name, set())
        return found

    assert not [name for name in needs if name in reached(name)]


LIGHT = """
import sys
import xai_repro as xr
xr.explain(xr.function(lambda masks: masks[:, 0]*1., 10), "lima")
print(len(sys.modules), *sorted(sys.modules))
"""
HEAVY = {"captum", "matplotlib", "pandas", "scipy.stats", "seaborn", "skimage", "sklearn", "timm",
         "torchvision", "transformers"}
SEAM = ("value", "inputs", "explain", "evaluate")


def test_an_explanation_of_a_function_loads_little():
    ran = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    count, *names = ran.stdout.split()
    assert int(count) < 1400
    assert not HEAVY & set(names)


def test_what_needs_only_masks_and_scores_loads_no_library_of_models():
    seam = [".".join(name_of(p)) for p in MODULES if part_of(".".join(name_of(p))) in SEAM]
    assert len(seam) > 30
    code = f"import sys, {', '.join(seam)}\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(ran.stdout.split())


def lines_of(path: Path) -> list[str]:
    """The lines that somebody wrote: nbdev's list of names is left out."""
    text = path.read_text()
    generated = set()
    for node in ast.parse(text).body:
        names = [ast.unparse(target) for target in getattr(node, "targets", ())]
        if "__all__" in names: generated |= set(range(node.lineno, node.end_lineno + 1))
    return [line for i, line in enumerate(text.splitlines(), 1) if i not in generated]


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=lambda p: p.name)
def test_no_line_is_above_100_characters(path):
    assert not [line for line in lines_of(path) if len(line) > 100]


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's body, its docstring left out."""
    body = function.body
    if ast.get_docstring(function) is not None: body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=lambda p: p.name)
def test_no_function_is_long(path):
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, FUNCTIONS)]
    assert not [f.name for f in functions if body_lines(f) > 40]
    assert not [f.name for f in functions if f.end_lineno - f.lineno >= 60]


def test_no_cell_is_long():
    long = []
    for path in sorted((root()/"nbs"/"papers").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            lines = "".join(cell["source"]).splitlines()
            parameters = "parameters" in cell["metadata"].get("tags", [])
            if cell["cell_type"] != "code" or parameters: continue
            if len(lines) > 30: long.append((path.stem, len(lines)))
            if any(len(line) > 100 for line in lines): long.append((path.stem, "wide"))
    assert not long
