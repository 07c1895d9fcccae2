"""Metrics: how good attributions are, and what can be certified of them.

The package can be called: `xai_repro.evaluate(instance, attributions, ...)` is `metrics.evaluate`.
"""
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Evaluate(ModuleType):
    def __call__(
        self,
        instance: Any,
        attributions: Any,
        metrics: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Any:
        """How good attributions of an instance are: see `evaluate.metrics.evaluate`."""
        from xai_repro.evaluate.metrics import evaluate
        return evaluate(instance, attributions, metrics, seed)


sys.modules[__name__].__class__ = _Evaluate
