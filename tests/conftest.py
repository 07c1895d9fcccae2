"""What every test file shares: the assets, the profile of hypothesis, networks and photographs."""
import os
from pathlib import Path

import pytest
from hypothesis import settings

# the same examples in every run of CI; elsewhere new ones are looked for
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"): settings.load_profile("ci")

ROOT = Path(__file__).parent.parent
os.environ.setdefault("XAI_REPRO_ROOT", str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def assets():
    """The assets folder; a test that needs real photographs or weights is skipped without."""
    folder = os.environ.get("XAI_REPRO_ASSETS")
    if not folder or not Path(folder).is_dir(): pytest.skip("XAI_REPRO_ASSETS names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def lite():
    """EfficientNet-Lite0 on the processor."""
    from xai_repro.zoo import models
    return models.load("efficientnet_lite0", "cpu")


@pytest.fixture(scope="session")
def photographs():
    """The embedded photographs [3, 224, 224] by name."""
    from xai_repro.zoo.photographs import embedded_photographs
    return embedded_photographs()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one experiment, `dice`; the user has another kernel named python3."""
    from toy_project import make_project

    from xai_repro.workbook import runner
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path/"jupyter"))
    # without the library, which others may be editing right now
    monkeypatch.setattr(runner, "code_version", lambda source: f"library, {source}")
    monkeypatch.setattr(runner, "code_files", lambda source: {})
    monkeypatch.setattr(runner, "code_parts", lambda source: {"notebook": f"all:{len(source)}"})
    return make_project(tmp_path)
