"""Attributions: how the features of an instance are scored.

The package can be called: `xai_repro.explain(instance, method, ...)` is `methods.explain`.
"""
import sys
from types import ModuleType
from typing import Any


class _Explain(ModuleType):
    def __call__(
        self,
        instance: Any,
        method: str = "lime",
        n_samples: int | None = None,
        seed: int = 0,
        target: int | None = None,
        **options: Any,
    ) -> Any:
        """Score the features of an instance: see `explain.methods.explain`."""
        from xai_repro.explain.methods import explain
        return explain(instance, method, n_samples, seed, target, **options)


sys.modules[__name__].__class__ = _Explain
