"""Whatever is public says what it is, and is shown."""
import ast
import importlib
import inspect

import nbformat
import pytest

from xai_repro.ground import root

NBS = root()/"nbs"
DEFINES = "#| default_exp"


def module_of(path) -> str | None:
    """The module that a notebook defines."""
    for cell in nbformat.read(path, as_version=4).cells:
        for line in cell.source.splitlines():
            if line.startswith(DEFINES): return line.split()[-1]
    return None


def notebooks_of_modules() -> dict:
    """The notebook of each module."""
    notebooks = {}
    for path in sorted(NBS.rglob("*.ipynb")):
        module = module_of(path)
        if module: notebooks[module] = path
    return notebooks


NOTEBOOKS = notebooks_of_modules()
# written by hand: the packages, and what existing users go on with, which has no example
BY_HAND = {"__init__", "__main__", "_aliases", "_compat", "_modidx"}


def test_every_module_is_seen():
    library = root()/"xai_repro"
    paths = [path for path in library.rglob("*.py") if path.stem not in BY_HAND]
    names = {".".join(path.relative_to(library).with_suffix("").parts) for path in paths}
    assert names == set(NOTEBOOKS)
    assert len(names) > 60


def public(module: str) -> dict:
    """Functions and classes that a module defines for others."""
    holder = importlib.import_module(f"xai_repro.{module}")
    things = {name: getattr(holder, name) for name in holder.__all__}
    return {name: thing for name, thing in things.items()
            if inspect.isfunction(thing) or inspect.isclass(thing)}


@pytest.mark.parametrize("module", [*NOTEBOOKS, "_aliases", "_compat"])
def test_a_module_says_what_belongs_there(module):
    docstring = importlib.import_module(f"xai_repro.{module}").__doc__
    assert len(docstring or "") > 20


def is_bare(name: str, thing: object) -> bool:
    """Whether a thing has no docstring, or only a dataclass's own."""
    docstring = (thing.__doc__ or "").strip()
    return not docstring or docstring.startswith(f"{name}(")


@pytest.mark.parametrize("module", NOTEBOOKS)
def test_every_public_name_has_a_docstring(module):
    bare = [name for name, thing in public(module).items() if is_bare(name, thing)]
    assert not bare, f"{module} does not say what these are: {bare}"


def examples_in(path) -> list[ast.Module]:
    """The cells of a notebook that define nothing of the module, without shell commands."""
    trees = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "#| export" in cell.source: continue
        lines = [line for line in cell.source.splitlines() if not line.startswith(("%", "!"))]
        trees.append(ast.parse("\n".join(lines)))
    return trees


def names_in(tree: ast.AST) -> set[str]:
    """Names and attributes that code uses."""
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names | attributes


def words_in(tree: ast.AST) -> set[str]:
    """Words of the texts in code: a command is called by its name."""
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= set(node.value.split())
    return words


def shown_in(module: str) -> set[str]:
    """What the notebook of a module shows an example of."""
    examples = examples_in(NOTEBOOKS[module])
    shown = set().union(*map(names_in, examples))
    if module != "workbook.cli": return shown
    commands = set().union(*map(words_in, examples))
    return shown | commands | {f"{word}_" for word in commands}


@pytest.mark.parametrize("module", NOTEBOOKS)
def test_every_public_function_has_an_example_in_its_notebook(module):
    shown = shown_in(module)
    functions = [name for name, thing in public(module).items() if inspect.isfunction(thing)]
    missing = [name for name in functions if name not in shown]
    assert not missing, f"{NOTEBOOKS[module].name} shows no example of {missing}"
