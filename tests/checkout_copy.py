"""A copy of a checkout, in which a command may write as it likes."""
import os
import shutil
import subprocess
import sys

from xai_repro.ground import root

FOLDERS = ("nbs", "xai_repro", "tests", "tools", "data")
FILES = ("settings.ini", "pyproject.toml")
LEFT = ("__pycache__", ".ipynb_checkpoints", "hostile")
OF_DATA = ("cache", "runs", "results")     # what runs leave; they make their own


def left_out(folder, names):
    """What of a folder a copy does not need."""
    here = set(LEFT) | (set(OF_DATA) if folder == str(root()/"data") else set())
    return here & set(names)


def copy_checkout(folder):
    """Copy what experiments and the project's own tests need."""
    for name in FOLDERS: shutil.copytree(root()/name, folder/name, ignore=left_out)
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
