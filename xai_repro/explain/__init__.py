"""Attributions: how the features of an instance are scored.

The package can be called: `xai_repro.explain(instance, method, ...)` is `methods.explain`.
"""
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Explain(ModuleType):
    def __call__(self, instance: Any, *arguments: Any, **options: Any) -> Any:
        """Score the features of an instance, or of a model's input.

        `explain(instance, method="glime", n_samples=None, seed=0, target=None, **options)` is
        `explain.methods.explain`; `explain(model, input, method="glime", ...)`, and a list of
        instances or inputs, or a folder of pictures, is `api.explain_inputs`.
        """
        from xai_repro.explain.attribution import is_instance
        if is_instance(instance):
            from xai_repro.explain.methods import explain
            return explain(instance, *arguments, **options)
        front = import_module("xai_repro.api")      # which stands above
        return front.explain_inputs(instance, *arguments, **options)


sys.modules[__name__].__class__ = _Explain
