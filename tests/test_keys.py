"Which changes of the code make a result stale, and which do not."
import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import edit, results

import xai_repro
from xai_repro.workbook import keys, runner

PACKAGE = Path(xai_repro.__file__).parent

# A library with every way in which a notebook may reach a definition
FILES = {
    "__init__.py": '''
        """The package's face."""
        __version__ = "1"
        _LAZY = {"combine": "explain.methods"}
        def __getattr__(name):
            from importlib import import_module
            return getattr(import_module(f"xai_repro.{_LAZY[name]}"), name)
    ''',
    "checks.py": '''
        """Checks."""
        import warnings
        def check_count(name, value, low=1):
            """A count."""
            if value >= low: return value
            allowed = f"at least {low}"
            message = f"{name} is {value}; allowed: {allowed}"
            raise ValueError(message)
        def listed(rows): return ", ".join(map(str, rows))
        def warn_about(rows):
            if len(rows) > 2: warnings.warn(f"rows {listed(rows)} are degenerate", stacklevel=2)
            return len(rows)
    ''',
    "explain/__init__.py": "",
    "explain/lfa.py": '''
        """Local function approximation."""
        import numpy as np
        from scipy.special import expit
        from ..checks import check_count
        SCALE = 2.0
        def fit(scores: np.ndarray, n: int = 10) -> np.ndarray:
            """Fit."""
            n = check_count("n", n)
            weights: np.ndarray = np.ones(n)/SCALE     # uniform
            return weights @ expit(scores)
        def unused(scores): return scores - 1
        class Solver:
            """A solver."""
            steps: int = 5
            def solve(self, scores): return self.step(scores)
            def step(self, scores): return scores*self.steps
    ''',
    "explain/methods.py": '''
        """A table."""
        from dataclasses import dataclass
        from functools import partial
        from typing import TYPE_CHECKING
        from . import lfa as approximation
        from .lfa import Solver as S
        if TYPE_CHECKING:
            from ..zoo import models
        @dataclass
        class Method:
            function: object
            cost: int = 1
        def _lime(scores, n): return approximation.fit(scores, n)
        def _adam(scores): return S().solve(scores)
        def _late(scores): return scores*7
        METHODS = {"lime": Method(partial(_lime, n=5)), "adam": Method(_adam)}
        METHODS["late"] = Method(_late)
        def explain(name, scores): return METHODS[name].function(scores)
        def combine(scores): return scores + 3
        def draw(ax, scores):
            ax.plot(scores, color="red")
            return scores*11
    ''',
    "workbook/__init__.py": "",
    "workbook/figures.py": '''
        """Figures."""
        COLORS = {"lime": "black"}
        def show(scores, title=""): return COLORS, title
    ''',
    "workbook/results.py": '''
        """Results."""
        from .figures import COLORS
        from ..explain.methods import explain as run_method
        def save(scores):
            from ..checks import warn_about
            return warn_about(scores), len(COLORS)
    ''',
    "zoo/__init__.py": "",
    "zoo/models.py": '''
        """Models."""
        REGISTRY = {}
        def register(function):
            REGISTRY[function.__name__] = function
            return function
        def load(name): return REGISTRY[name]
    ''',
    "zoo/more_models.py": '''
        """More models."""
        from .models import register
        @register
        def small(x): return x*13
    ''',
}
NOTEBOOK = '''
import numpy as np
import matplotlib.pyplot as plt
import xai_repro as xr
from xai_repro.explain import methods as M
from xai_repro.workbook import results as wb
from xai_repro.workbook.figures import show
from xai_repro.zoo import models, more_models
scores = np.arange(4)
found = M.explain("lime", scores)     # a note
wb.save(found)
models.load("small")(scores)
xr.combine(scores)
fig, ax = plt.subplots()
M.draw(ax, scores)
ax.set_title("scores", color="red")
show(scores, title="scores")
'''


def write(folder, files):
    for name, text in files.items():
        path = folder/name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(inspect.cleandoc(text) + "\n")


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    folder = tmp_path/"xai_repro"
    write(folder, FILES)
    return folder


def change(folder, name, old, new):
    path = folder/name
    text = path.read_text()
    assert old in text, f"{old!r} is in {name}"
    path.write_text(text.replace(old, new))


CHANGES = {}
CHANGES["a constant"] = "explain/lfa.py", "SCALE = 2.0", "SCALE = 3.0"
CHANGES["a function"] = "explain/lfa.py", "weights @", "2*weights @"
CHANGES["a default"] = "explain/lfa.py", "n: int = 10", "n: int = 11"
CHANGES["a local constant"] = "explain/methods.py", "n=5", "n=6"
CHANGES["another function of another package"] = (
    "explain/lfa.py",
    "import expit",
    "import erf as expit",
)
CHANGES["another package by the same name"] = (
    "explain/lfa.py",
    "import numpy as np",
    "import cupy as np",
)
CHANGES["a function behind two imports"] = "checks.py", "value >= low", "value > low"
CHANGES["an error that is no longer raised"] = (
    "checks.py",
    "    raise ValueError(message)",
    "    return low",
)
CHANGES["another error"] = "checks.py", "raise ValueError", "raise TypeError"
CHANGES["a warning that is given later"] = "checks.py", "len(rows) > 2", "len(rows) > 3"
CHANGES["another row of a table"] = "explain/methods.py", "S().solve(scores)", "-S().solve(scores)"
CHANGES["a row that is added below"] = "explain/methods.py", "scores*7", "scores*8"
CHANGES["a method of a class"] = "explain/lfa.py", "scores*self.steps", "scores + self.steps"
CHANGES["a field of a class"] = "explain/lfa.py", "steps: int = 5", "steps: int = 6"
CHANGES["a field with a default"] = "explain/methods.py", "cost: int = 1", "cost: int = 2"
CHANGES["what a decorator registers"] = "zoo/more_models.py", "x*13", "x*14"
CHANGES["a decorator"] = "zoo/models.py", "function.__name__", "function.__name__.lower()"
CHANGES["what is returned beside drawing"] = "explain/methods.py", "scores*11", "scores*12"
CHANGES["what is made on demand"] = ("explain/methods.py", "scores + 3", "scores + 4")

NO_CHANGES = {}
NO_CHANGES["a comment"] = "explain/lfa.py", "# uniform", "# all the same"
NO_CHANGES["a docstring"] = "explain/lfa.py", '"""Fit."""', '"""Fit weights."""'
NO_CHANGES["a docstring that goes"] = "explain/lfa.py", '"""Fit."""', ""
NO_CHANGES["a module's docstring"] = (
    "explain/lfa.py",
    '"""Local function approximation."""',
    '"""LFA."""',
)
NO_CHANGES["layout"] = "explain/lfa.py", "np.ones(n)/SCALE", "(\n        np.ones(n) / SCALE\n    )"
NO_CHANGES["an annotation"] = "explain/lfa.py", "scores: np.ndarray, n: int", "scores, n: float"
NO_CHANGES["a variable's annotation"] = "explain/lfa.py", "weights: np.ndarray =", "weights ="
NO_CHANGES["an error's message"] = (
    "checks.py",
    "is {value}; allowed: {allowed}",
    "was {value}, not {allowed}",
)
NO_CHANGES["a part of an error's message"] = "checks.py", "at least {low}", "{low} or more"
NO_CHANGES["an error's message in one piece"] = (
    "checks.py",
    "ValueError(message)",
    'ValueError("too few")',
)
NO_CHANGES["a warning's message"] = "checks.py", "are degenerate", "are all the same"
NO_CHANGES["what only a warning uses"] = "checks.py", 'return ", "', 'return "; "'
NO_CHANGES["a colour"] = "workbook/figures.py", "black", "blue"
NO_CHANGES["a colour in a drawing call"] = "explain/methods.py", 'color="red"', 'color="blue"'
NO_CHANGES["drawing"] = "explain/methods.py", "ax.plot(", "ax.scatter("
NO_CHANGES["a function that draws"] = "workbook/figures.py", "return COLORS, title", "return None"
NO_CHANGES["an unused function"] = "explain/lfa.py", "scores - 1", "scores - 2"
NO_CHANGES["another name for an import"] = "explain/methods.py", "approximation", "surrogates"
NO_CHANGES["an import of the name itself"] = (
    "explain/methods.py",
    "from . import lfa as approximation",
    "from . import lfa as approximation, lfa",
)
NO_CHANGES["an absolute import"] = (
    "explain/methods.py",
    "from .lfa import",
    "from xai_repro.explain.lfa import",
)
NO_CHANGES["an import inside the function"] = (
    "explain/methods.py",
    "def _lime(scores, n): return",
    "def _lime(scores, n):\n    from . import lfa as approximation\n    return",
)
NO_CHANGES["an import for a type checker"] = (
    "explain/methods.py",
    "from ..zoo import models",
    "import jax",
)


@pytest.mark.parametrize("name, old, new", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_key(library, name, old, new):
    before = keys.code_version(NOTEBOOK, library)
    change(library, name, old, new)
    assert keys.code_version(NOTEBOOK, library) != before


@pytest.mark.parametrize("name, old, new", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_does_not_change_a_key(library, name, old, new):
    before = keys.code_version(NOTEBOOK, library)
    change(library, name, old, new)
    assert keys.code_version(NOTEBOOK, library) == before


def test_a_module_may_be_renamed(library):
    before = keys.code_version(NOTEBOOK, library)
    (library/"explain"/"lfa.py").rename(library/"explain"/"surrogates.py")
    change(library, "explain/methods.py", "import lfa as", "import surrogates as")
    change(library, "explain/methods.py", "from .lfa", "from .surrogates")
    (library/"explain").rename(library/"attribution")
    change(library, "workbook/results.py", "..explain", "..attribution")
    change(library, "__init__.py", "explain.methods", "attribution.methods")
    notebook = NOTEBOOK.replace("xai_repro.explain", "xai_repro.attribution")
    assert keys.code_version(notebook, library) == before


def move_solver(library):
    """Move a class to a module of its own; the text of both, and of the class."""
    text = (library/"explain"/"lfa.py").read_text()
    solver = text[text.index("class Solver"):]
    change(library, "explain/lfa.py", solver, "")
    (library/"explain"/"solvers.py").write_text(solver)
    change(library, "explain/methods.py", "from .lfa import Solver", "from .solvers import Solver")
    return text, solver


def test_a_function_may_be_moved(library):
    before = keys.code_version(NOTEBOOK, library)
    text, solver = move_solver(library)
    assert keys.code_version(NOTEBOOK, library) == before
    change(library, "explain/methods.py", "from .solvers", "from .lfa")
    rest = text.replace(solver, "")
    (library/"explain"/"lfa.py").write_text(f"from .solvers import Solver\n{rest}")
    assert keys.code_version(NOTEBOOK, library) == before, "and be known by its former module too"


NOTEBOOK_CHANGES = {}
NOTEBOOK_CHANGES["a value"] = "np.arange(4)", "np.arange(5)"
NOTEBOOK_CHANGES["another method"] = '"lime"', '"adam"'
NOTEBOOK_CHANGES["another function"] = "wb.save", "wb.run_method"
NOTEBOOK_NO_CHANGES = {}
NOTEBOOK_NO_CHANGES["a comment"] = "# a note", "# another note"
NOTEBOOK_NO_CHANGES["layout"] = "np.arange(4)", "np.arange(\n    4\n)"
NOTEBOOK_NO_CHANGES["a title"] = 'title("scores"', 'title("heights"'
NOTEBOOK_NO_CHANGES["a colour"] = 'color="red"', 'color="blue"'
NOTEBOOK_NO_CHANGES["what a figure shows"] = 'show(scores, title="scores")', "show(2*scores)"
NOTEBOOK_NO_CHANGES["how figures are laid out"] = "plt.subplots()", "plt.subplots(figsize=(3, 3))"
NOTEBOOK_NO_CHANGES["another name for a module"] = "M", "table"
NOTEBOOK_NO_CHANGES["an import of the function"] = "M.explain", "explain"


@pytest.mark.parametrize("old, new", NOTEBOOK_CHANGES.values(), ids=NOTEBOOK_CHANGES)
def test_what_changes_a_key_in_a_notebook(library, old, new):
    assert old in NOTEBOOK
    changed = NOTEBOOK.replace(old, new)
    assert keys.code_version(changed, library) != keys.code_version(NOTEBOOK, library)


@pytest.mark.parametrize("old, new", NOTEBOOK_NO_CHANGES.values(), ids=NOTEBOOK_NO_CHANGES)
def test_what_does_not_change_a_key_in_a_notebook(library, old, new):
    assert old in NOTEBOOK
    changed = "from xai_repro.explain.methods import explain\n" + NOTEBOOK.replace(old, new)
    assert keys.code_version(changed, library) == keys.code_version(NOTEBOOK, library)


REACHED = {}
REACHED["from xai_repro.explain import lfa\nlfa.fit"] = {"fit", "SCALE", "check_count"}
REACHED["import xai_repro.explain.lfa\nxai_repro.explain.lfa.fit(1)"] = (
    "fit",
    "SCALE",
    "check_count",
)
REACHED["import xai_repro.explain.lfa as l\nl.SCALE"] = {"SCALE"}
REACHED["from xai_repro.explain.lfa import fit as f\nf"] = {"fit", "SCALE", "check_count"}
REACHED["from xai_repro.explain.lfa import *\nSCALE"] = {"SCALE"}
REACHED["def f():\n    from xai_repro import checks\n    return checks.listed"] = {"listed"}
REACHED["from xai_repro.explain import lfa"] = set()
REACHED["from xai_repro.explain import lfa\ndef f(lfa): return lfa.fit"] = set()
REACHED["from xai_repro.explain import lfa\n[lfa.fit for lfa in (1, 2)]"] = set()
REACHED["from xai_repro.explain import lfa\n[x for x in lfa.SCALE]"] = {"SCALE"}
REACHED["from xai_repro.explain import lfa\ndef f(n=lfa.SCALE): return n"] = {"SCALE"}
REACHED["from xai_repro import checks\ngetattr(checks, name)"] = (
    "check_count",
    "listed",
    "warn_about",
)
REACHED["import xai_repro as xr\nxr.combine"] = {"combine"}
REACHED["from xai_repro import combine\ncombine"] = {"combine"}
REACHED["import xai_repro as xr\nxr.__file__"] = set()
REACHED["from xai_repro.workbook import figures\nfigures.show"] = set()
REACHED["import fit\nfit.fit"] = set()


@pytest.mark.parametrize("source", REACHED)
def test_what_code_reaches(library, source):
    assert set(keys.reached(source, library)) == set(REACHED[source])


@pytest.mark.parametrize("source", [
    "import xai_repro as xr\nxr.nothing",
    "from xai_repro.explain import old_name\nold_name(1)",
    "from xai_repro import old_module\nold_module.fit(1)",
])
def test_a_name_that_leads_nowhere_may_mean_everything(library, source):
    assert set(keys.reached(source, library)) > {"fit", "listed", "unused", "draw", "small"}


def test_a_package_that_can_be_called(library):
    "It stands for what calling it does; only its attributes lead to the modules in it."
    text = """
        import sys
        from types import ModuleType
        class _Explain(ModuleType):
            def __call__(self, name, scores):
                from xai_repro.explain.methods import explain
                return explain(name, scores)
        sys.modules[__name__].__class__ = _Explain
    """
    write(library, {"explain/__init__.py": text})
    called = keys.reached("import xai_repro as xr\nxr.explain('lime', 1)", library)
    assert {"_Explain", "explain", "METHODS", "_lime"} <= set(called) and "unused" not in called
    source = "from xai_repro.explain import lfa\nlfa.unused"
    assert keys.reached(source, library) == ["unused"]


def test_a_table_that_another_module_adds_to(library):
    write(library, {"zoo/more.py": "from .models import REGISTRY\nREGISTRY['x'] = lambda x: x*17"})
    source = "from xai_repro.zoo import models, more\nmodels.load('x')"
    before = keys.code_version(source, library)
    change(library, "zoo/more.py", "x*17", "x*18")
    assert keys.code_version(source, library) != before


def test_a_ring_of_modules(library):
    write(library, {
        "a.py": "from . import b\ndef f(n): return b.g(n)",
        "b.py": "from .c import TABLE\ndef g(n): return TABLE[n]",
        "c.py": "def h(n):\n    from .a import f\n    return f(n)\nTABLE = {1: h}",
    })
    source = "from xai_repro import a\na.f(1)"
    assert keys.reached(source, library) == ["TABLE", "f", "g", "h"]
    before = keys.code_version(source, library)
    change(library, "c.py", "f(n)", "f(-n)")
    assert keys.code_version(source, library) != before


@pytest.mark.parametrize("text", [
    "a = 1\nprint(b)",
    "a, *b = 1, 2",
    "a = {}\na['k'] = b",
    "class a:\n    def f(self): return b",
    "a: int = b",
    "if b: a = 1",
    "a = 1\na += b",
    "try:\n    a = b\nexcept NameError: a = 2",
])
def test_what_a_used_name_stands_for_counts(library, text):
    module, source = library/"some.py", "from xai_repro.some import a, b\na, b"
    module.write_text(f"{text}\nb = 3")
    before = keys.code_version(source, library)
    module.write_text(f"{text}\nb = 4")
    assert keys.code_version(source, library) != before


SAME = 'class A:\n    def f(self, x=None): return x\n'
SAME_BUT_FOR_PROSE = '''"Module."
class A:
    "Class."
    # comment
    def f(self,
        x: int = None,  # argument
    ) -> int:
        """Function."""
        return (x)
'''
OTHERS = [
    "class A:\n    def f(self, x=0): return x",
    "class A:\n    def f(self, x=None): return",
    "class A:\n    async def f(self, x=None): return x",
    "class A(B):\n    def f(self, x=None): return x",
    "class A:\n    def f(self, x, y=None): return x",
    "class A:\n    def f(self, *, x=None): return x",
    "class A:\n    @property\n    def f(self, x=None): return x",
    "class A:\n    def f(self, x=None): raise x",
]


def test_code_is_compared_by_what_it_does(library):
    version = keys.code_version(SAME, library)
    assert keys.code_version(SAME_BUT_FOR_PROSE, library) == version
    versions = {keys.code_version(source, library) for source in OTHERS}
    assert len({version, *versions}) == 1 + len(OTHERS)


def test_a_text_that_is_used_for_more_than_a_message_counts(library):
    source = "def f(n):\n    name = 'n'\n    if n < 1: raise ValueError(name)\n    return {name}"
    changed = source.replace("'n'", "'m'")
    assert keys.code_version(source, library) != keys.code_version(changed, library)


PLT = "import matplotlib.pyplot as plt\n"
# what computes under a name that is one of drawing, and how it is changed
HIDDEN = {
    "a list that is called axes": ("axes = []\naxes.append(1)\ny = axes", "(1)", "(2)"),
    "an object that is called fig": ("fig = fit(1)\nfig.step(1)", "step(1)", "step(2)"),
    "items of a parameter that is called axes": (
        "def f(axes):\n    axes.append(1)\n    return axes", "(1)", "(2)",
    ),
    "what the loop over numbers is called": (
        "for ax in range(3): ax.bit_count(1)", "bit_count(1)", "bit_count(2)",
    ),
    "pixels that matplotlib reads": (PLT + "x = plt.imread('a.png')", "a.png", "b.png"),
    "counts of a histogram": (PLT + "x = plt.hist([1], 3)", "3", "4"),
    "another library as plt": ("import fast as plt\nplt.run(1)", "run(1)", "run(2)"),
    "what is computed in a drawing": (
        PLT + "fig, ax = plt.subplots()\nax.plot(rng.normal(1))", "normal(1)", "normal(2)",
    ),
    "what is given a name in a drawing": (
        PLT + "fig, ax = plt.subplots()\nax.plot(n := 1)", "n := 1", "n := 2",
    ),
    "the colour of what is computed": ("x = fill(image, color=(0, 0, 0))", "(0,", "(1,"),
    "the palette of what is computed": ("x = quantise(image, palette=2)", "=2", "=3"),
    "a method that is called warn": ("x.warn(1)", "warn(1)", "warn(2)"),
    "a function that is called warn": ("from mine import warn\nwarn(1)", "(1)", "(2)"),
    "what an error of one's own carries": ("raise FoundError(1)", "(1)", "(2)"),
    "an error that is a function": ("def ValueError(x): pass\nraise ValueError(1)", "(1)", "(2)"),
    "what is not for a type checker": (
        "from typing import TYPE_CHECKING\nif not TYPE_CHECKING: x = 1", "x = 1", "x = 2",
    ),
    "what is there without a type checker": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING: pass\nelse: x = 1",
        "x = 1", "x = 2",
    ),
    "a constant like a type checker's": ("TYPE_CHECKING = 1\nif TYPE_CHECKING: x = 1", "x", "y"),
    "a list of names that is computed": ("__all__ = [f(1)]", "(1)", "(2)"),
}


@pytest.mark.parametrize("source, old, new", HIDDEN.values(), ids=HIDDEN)
def test_nothing_that_computes_hides_behind_a_name_of_drawing(library, source, old, new):
    assert old in source
    changed = source.replace(old, new)
    assert keys.code_version(source, library) != keys.code_version(changed, library)


# drawing, and how it is changed
DRAWN = {
    "axes in a loop": (
        PLT + "fig, axes = plt.subplots(2)\nfor ax in axes: ax.plot([1], color='red')",
        "ax.plot", "ax.scatter",
    ),
    "axes of axes": (
        PLT + "fig, ax = plt.subplots()\nax = ax.twinx()\nax.set(xlabel='x')", "'x'", "'y'",
    ),
    "a colour beside what is kept": (
        PLT + "fig, ax = plt.subplots()\nline = ax.plot([1], color='red')", "red", "blue",
    ),
    "a label with numbers": (
        PLT + "fig, ax = plt.subplots()\nax.set_title(f'{round(1.5)}')", "round(1.5)", "len([1])",
    ),
    "what is said for a type checker": (
        "import typing\nif typing.TYPE_CHECKING: x = 1", "x = 1", "x = 2",
    ),
    "a warning by its name": ("from warnings import warn\nwarn('bad')", "bad", "odd"),
}


@pytest.mark.parametrize("source, old, new", DRAWN.values(), ids=DRAWN)
def test_what_only_draws_does_not_count(library, source, old, new):
    assert old in source
    changed = source.replace(old, new)
    assert keys.code_version(source, library) == keys.code_version(changed, library)


def test_the_files_that_code_may_execute(library):
    source = "from xai_repro import checks\nchecks.check_count"
    before = keys.code_files(source, library)
    assert {path.relative_to(library).as_posix() for path in before} == {"__init__.py", "checks.py"}
    path = library/"checks.py"
    text = path.read_text()
    path.write_text("x = 1")
    path.write_text(text)
    after = keys.code_files(source, library)
    assert [each.name for each in before if before[each] != after[each]] == ["checks.py"]
    assert keys.code_files("%matplotlib inline", library).keys() > before.keys()


def test_the_version_of_the_whole_library(library):
    before = keys.code_version(folder=library)
    change(library, "workbook/figures.py", "black", "blue")
    change(library, "explain/lfa.py", "# uniform", "")
    assert keys.code_version(folder=library) == before
    change(library, "explain/lfa.py", "scores - 1", "scores - 2")
    assert keys.code_version(folder=library) != before


def test_a_cell_that_is_not_python_may_use_everything(library):
    source = "%time f()"
    before = keys.code_version(source, library)
    change(library, "explain/lfa.py", "scores - 1", "scores - 2")
    assert keys.code_version(source, library) != before


def test_a_second_process_finds_what_the_first_has_stored(library, monkeypatch):
    version = keys.code_version(NOTEBOOK, library)
    keys._version.cache_clear()
    keys._library.cache_clear()
    keys._read.cache_clear()
    monkeypatch.delattr(keys, "parse_module")
    assert keys.code_version(NOTEBOOK, library) == version


@pytest.mark.parametrize("content", [b"", b"[1, 2]", bytes(100), b"[[], [], [[3]]]", b"\xff"])
def test_what_is_stored_and_damaged_is_made_anew(library, content):
    version = keys.code_version(NOTEBOOK, library)
    for path in (library.parent/"data"/"cache"/"code").iterdir(): path.write_bytes(content)
    keys._version.cache_clear()
    keys._library.cache_clear()
    keys._read.cache_clear()
    assert keys.code_version(NOTEBOOK, library) == version


# runs

def test_a_run_is_stale_after_a_change_that_it_can_see(project, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("XAI_REPRO_ROOT", str(project))
    monkeypatch.setattr(xai_repro, "__file__", str(project/"xai_repro"/"__init__.py"))
    write(project/"xai_repro", FILES)
    edit(project, lambda notebook: notebook.cells[-1].update(source=NOTEBOOK))
    folder = results(project)
    folder.mkdir(parents=True)

    def finish():
        key = runner.run_key("dice", runner.resolve("dice"))
        record = dict(key=key, seconds=1.5, finished="2030-01-01")
        (folder/"run.json").write_text(json.dumps(record))

    def state(): return runner.status().state[0]

    finish()
    assert state() == "done"
    change(project/"xai_repro", *NO_CHANGES["a comment"])
    change(project/"xai_repro", *NO_CHANGES["an unused function"])
    change(project/"xai_repro", *NO_CHANGES["a colour"])
    assert state() == "done"
    change(project/"xai_repro", *CHANGES["a function"])
    assert state() == "stale"


# this library

def without_prose(source: str) -> str:
    "The same code laid out by Python itself, with other docstrings and no comments."
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body[0].value.value = "Other prose."
    return ast.unparse(tree)


def test_prose_changes_no_key_of_any_experiment(tmp_path):
    sources = {name: runner._code_above(runner.FOUND, name) for name in runner.experiments()}
    before = {name: keys.code_version(source) for name, source in sources.items()}
    assert len(set(before.values())) == len(before) > 40
    copy = tmp_path/"xai_repro"
    shutil.copytree(PACKAGE, copy)
    for path in copy.rglob("*.py"):
        path.write_text(without_prose(path.read_text()))
    for name, source in sources.items():
        assert keys.code_version(without_prose(source), copy) == before[name], name


CALLS = """
import numpy as np
from xai_repro.evaluate import similarity
from xai_repro.explain import lfa
from xai_repro.value import MaskFunction

value = MaskFunction(lambda m: np.stack([m.sum(1), -m.sum(1)], 1).astype(float), 6)
a = lfa.lime(value, 0, n_samples=32, seed=0)
b = lfa.glime(value, 0, n_samples=32, seed=1)
similarity.jaccard(a.weights, b.weights, 2)
"""


def test_whatever_is_called_is_reached():
    called = set()

    def note(frame, event, argument):
        code = frame.f_code
        path, name = Path(code.co_filename), code.co_qualname.split(".")[0]
        is_function = event == "call" and code.co_flags & inspect.CO_OPTIMIZED
        is_alias = path.name == "_aliases.py"      # makes former names importable
        if is_function and PACKAGE in path.parents and not is_alias and not name.startswith("<"):
            called.add((path, name))

    imports, calls = CALLS.split("\n\n")
    namespace = {}
    exec(imports, namespace)
    sys.setprofile(note)
    try:
        exec(calls, namespace)
    finally:
        sys.setprofile(None)
    reached = set(keys.reached(CALLS))
    missing = [(path.name, name) for path, name in called if name not in reached]
    assert len(called) > 10 and not missing


def test_no_function_that_computes_is_given_a_colour():
    "An argument by such a name is left out of a call, whatever is called."
    modules = keys.library().modules
    drawing = {name.removeprefix("xai_repro.").replace(".", "/") + ".py" for name in keys.UNCOUNTED}
    assert len(modules) > 30
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix() in drawing: continue
        nodes = ast.walk(ast.parse(path.read_text()))
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        assert not arguments & set(keys.COLOURS), path


STATUS = """
import sys, time
from xai_repro.workbook.runner import status
table = status()
heavy = {"torch", "papermill", "nbclient", "nbformat", "timm", "torchvision", "transformers"}
print(len(table), time.process_time(), *heavy & set(sys.modules))
"""


def test_status_takes_little_time_and_imports_nothing_heavy():
    command = [sys.executable, "-c", STATUS]
    environment = os.environ | dict(OMP_NUM_THREADS="1")
    for _ in range(2):      # the second finds what the first has stored
        output = subprocess.check_output(command, env=environment, text=True)
    n_rows, seconds, *heavy = output.split()
    assert int(n_rows) > 40 and not heavy
    assert float(seconds) < 3


# by part

def changed_by(library, name, old, new):
    """The parts that a change of the library's code changes."""
    before = keys.code_parts(NOTEBOOK, library)
    change(library, name, old, new)
    return keys.changed_parts(before, keys.code_parts(NOTEBOOK, library))


@pytest.mark.parametrize("name, old, new", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_key_is_named(library, name, old, new):
    changed = changed_by(library, name, old, new)
    module = name.removesuffix(".py").replace("/", ".")
    assert changed and all(part.startswith(f"{module}.") for part in changed)


@pytest.mark.parametrize("name, old, new", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_does_not_change_a_key_is_not_named(library, name, old, new):
    assert changed_by(library, name, old, new) == []


NAMED = {
    "a constant": ["explain.lfa.SCALE"],
    "a function": ["explain.lfa.fit"],
    "a method of a class": ["explain.lfa.Solver"],
    "another row of a table": ["explain.methods._adam"],
    "a function behind two imports": ["checks.check_count"],
}


@pytest.mark.parametrize("name", NAMED)
def test_the_name_of_what_changed(library, name):
    assert changed_by(library, *CHANGES[name]) == NAMED[name]


@pytest.mark.parametrize("old, new", NOTEBOOK_CHANGES.values(), ids=NOTEBOOK_CHANGES)
def test_what_changes_a_key_in_a_notebook_is_named(library, old, new):
    before = keys.code_parts(NOTEBOOK, library)
    now = keys.code_parts(NOTEBOOK.replace(old, new), library)
    assert any(part.startswith("notebook.") for part in keys.changed_parts(before, now))


def test_a_function_that_moved_is_not_named(library):
    before = keys.code_parts(NOTEBOOK, library)
    move_solver(library)
    now = keys.code_parts(NOTEBOOK, library)
    assert "explain.solvers" in now and "explain.solvers" not in before
    assert keys.changed_parts(before, now) == []


def test_parts_that_come_and_go_are_told_apart(library):
    before = keys.code_parts(NOTEBOOK, library)
    change(library, "explain/lfa.py", "SCALE", "WIDTH")
    changed = keys.changed_parts(before, keys.code_parts(NOTEBOOK, library))
    assert {"explain.lfa.SCALE (gone)", "explain.lfa.WIDTH (new)"} <= set(changed)


def test_what_is_no_python_is_one_part(library):
    assert list(keys.code_parts("what?", library)) == ["notebook"]
    assert keys.code_parts("what?", library) != keys.code_parts("why?", library)
