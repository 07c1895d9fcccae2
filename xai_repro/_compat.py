"""Calls of functions that are gone, for existing users: each is made of what is there now."""
from typing import Any

import numpy as np
import torch

from xai_repro.checks import check_choice
from xai_repro.explain.methods import METHODS
from xai_repro.inputs.instance import Instance
from xai_repro.value import MaskFunction

_RENAMED = {"glime_binomial": "glime"}


def attribute(
    method: str,
    target: int,
    value: Any = None,
    view: Any = None,
    n_samples: int | None = None,
    seed: int = 0,
    **options: Any,
) -> np.ndarray:
    """The scores [d] of a method of METHODS, of a value function or a differentiable view.

    Use `xai_repro.explain(instance, method, ...)` instead.
    """
    name = _RENAMED.get(method, method)
    row = METHODS[check_choice("method", name, METHODS)]
    if row.needs == "masks" and value is None and method != "random":
        message = f"value is None; allowed for {method!r}: a value function, such as MaskedModel"
        raise ValueError(message)
    if row.needs != "masks" and view is None:
        message = (f"view is None; allowed for {method!r}: a Differentiable, such as "
                   "of_image(classifier, image, segments)")
        raise ValueError(message)
    if value is None and view is None:
        raise ValueError(f"value and view are None; allowed for {method!r}: one of them")
    if value is None:
        d = len(view.pool(torch.zeros_like(view.x)))
        value = MaskFunction(_no_scores, d)
    instance = Instance(value, target, "unnamed", view=view)
    return row(instance, n_samples, seed, target, **options).scores


def _no_scores(masks: np.ndarray) -> np.ndarray:
    raise ValueError("value is None; allowed: a value function")
