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
