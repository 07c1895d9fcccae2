"Whatever is public is said what it is, and shown."
import ast
import importlib
import inspect

import nbformat
import pytest

from xai_repro.ground import root

NBS = root()/"nbs"


def module_of(path) -> str | None:
    "The module that a notebook defines."
    first = [line for cell in nbformat.read(path, as_version=4).cells for line in cell.source.splitlines() if line.startswith("#| default_exp")]
    return first[0].split()[-1] if first else None


ROOMS = {module: path for path in sorted(NBS.rglob("*.ipynb")) if (module := module_of(path))}


def public(module: str) -> dict:
    "Functions and classes that a module defines for others."
    found = importlib.import_module(f"xai_repro.{module}")
    return {name: getattr(found, name) for name in found.__all__ if inspect.isfunction(getattr(found, name)) or inspect.isclass(getattr(found, name))}


@pytest.mark.parametrize("module", ROOMS)
def test_a_module_says_what_belongs_there(module):
    assert len(importlib.import_module(f"xai_repro.{module}").__doc__ or "") > 20


@pytest.mark.parametrize("module", ROOMS)
def test_every_public_name_has_a_docstring(module):
    bare = [name for name, thing in public(module).items() if not (thing.__doc__ or "").strip() or (thing.__doc__ or "").startswith(f"{name}(")]
    assert not bare, f"{module} does not say what these are: {bare}"


def used_in(path) -> set[str]:
    "Names in the cells of a notebook that define nothing of the module."
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and "#| export" not in c.source and not c.source.startswith("%")]
    trees = [ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))) for source in cells]
    return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)} | {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def commands_in(path) -> set[str]:
    "Words of the texts in those cells: a command is called by its name."
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and "#| export" not in c.source]
    texts = [node.value for source in cells for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {word for text in texts for word in text.split()}


@pytest.mark.parametrize("module", ROOMS)
def test_every_public_function_has_an_example_in_its_notebook(module):
    shown = used_in(ROOMS[module])
    if module == "workbook.cli": shown |= {f"{word}{suffix}" for word in commands_in(ROOMS[module]) for suffix in ("", "_")}
    missing = [name for name, thing in public(module).items() if inspect.isfunction(thing) and name not in shown]
    assert not missing, f"{ROOMS[module].name} shows no example of {missing}"


def test_no_function_is_longer_than_60_lines():
    long = [(path.name, node.name) for path in sorted((root()/"xai_repro").rglob("*.py")) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 60]
    assert not long


def imports_of(path) -> set[str]:
    "Modules of the library that a module imports at its top, by their full names."
    package = ["xai_repro", *path.relative_to(root()/"xai_repro").parent.parts]
    found = set()
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        start = package[:len(package) - node.level + 1]
        inside = [*start, *(node.module.split(".") if node.module else [])]
        is_module = (root().joinpath(*inside)).with_suffix(".py").exists()
        found |= {".".join(inside)} if is_module else {".".join([*inside, alias.name]) for alias in node.names}
    return found


def test_no_module_needs_one_that_needs_it():
    paths = [p for p in (root()/"xai_repro").rglob("*.py") if p.name not in ("__init__.py", "_modidx.py")]
    needs = {".".join(p.relative_to(root()).with_suffix("").parts): imports_of(p) for p in paths}
    def reached(start: str) -> set[str]:
        found, waiting = set(), set(needs.get(start, ()))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting |= needs.get(name, set())
        return found
    assert sum(map(len, needs.values())) > 100, "the imports are seen"
    assert not [name for name in needs if name in reached(name)]
