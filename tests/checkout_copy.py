"""A copy of a checkout, in which a command may write as it likes."""
import os
import shutil
import subprocess
import sys

from xai_repro.ground import root

FOLDERS = ("nbs", "xai_repro", "tests", "tools", "data", "figures")
FILES = ("settings.ini", "pyproject.toml", "README.md")
LEFT = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "hostile")
OF_RUNS = shutil.ignore_patterns("cache", "runs", "smoke*", "__pycache__")    # they make their own


def copy_checkout(folder):
    """Copy what experiments and the project's own tests need."""
    for name in FOLDERS:
        left = OF_RUNS if name == "data" else LEFT
        shutil.copytree(root()/name, folder/name, ignore=left)
    for name in FILES: shutil.copy(root()/name, folder/name)
    return folder


def start_in(folder, *command):
    """A command in a checkout, with its own library, however it ends."""
    own = {"PYTHONPATH": str(folder), "XAI_REPRO_ROOT": str(folder)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | own, capture_output=True,
        text=True)


def run_in(folder, *command):
    """A command in a checkout, with its own library; its outputs."""
    ran = start_in(folder, *command)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
