import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)      # the same examples in every run; elsewhere new ones are looked for
if os.environ.get("CI"): settings.load_profile("ci")

ROOT = Path(__file__).parent.parent
os.environ.setdefault("XAI_REPRO_ROOT", str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def assets():
    "The assets folder; a test that needs real photographs or weights from it is skipped without."
    folder = os.environ.get("XAI_REPRO_ASSETS")
    if not folder or not Path(folder).is_dir(): pytest.skip("XAI_REPRO_ASSETS names no folder")
    return Path(folder)
