"""Calls of functions that are gone, for existing users: each is made of what is there now."""
from typing import Any

import numpy as np
import torch

from xai_repro.checks import check_choice
from xai_repro.explain.methods import METHODS
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.instance import Instance
from xai_repro.inputs.removal import Constant, Removal
from xai_repro.value import MaskFunction

BLACK = Constant()
_RENAMED = {"glime_binomial": "glime"}
_SAMPLES = ("steps", "draws")     # what n_samples was called by methods of gradients
# options whose defaults are others now
_DEFAULTS: dict[str, dict[str, Any]] = {
    "lime": {"sigma": 0.25, "distance": "cosine", "original_first": True},
    "glime_binomial": {"sigma": 1.0},
    "smoothgrad": {"sigma": 0.15, "absolute": True},
    "squaregrad": {"sigma": 0.15},
    "vargrad": {"sigma": 0.15},
}


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
    row = METHODS[check_choice("method", _RENAMED.get(method, method), METHODS)]
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
    return _scores(instance, method, n_samples, seed, options)


def _no_scores(masks: np.ndarray) -> np.ndarray:
    raise ValueError("value is None; allowed: a value function")


def _scores(
    instance: Instance, method: str, n_samples: int | None, seed: int, options: dict[str, Any],
) -> np.ndarray:
    """The scores by a method under its old name, with its old options and defaults."""
    row = METHODS[_RENAMED.get(method, method)]
    chosen = _DEFAULTS.get(method, {}) | options
    for old in _SAMPLES:
        if old in chosen and row.n_samples is not None: n_samples = chosen.pop(old)
    return row(instance, n_samples, seed, **chosen).scores


def attribute_image(
    method: str,
    classifier: Any,
    image: torch.Tensor,
    segments: torch.Tensor,
    target: int,
    seed: int = 0,
    value: Any = None,
    gradients: Any = None,
    removal: Removal = BLACK,
    n_samples: int | None = None,
    **options: Any,
) -> np.ndarray:
    """The scores [d] of the segments of an image: `baselines.attribute` as it was.

    Use `xai_repro.explain(xai_repro.image(...), method, ...)` instead.
    """
    check_choice("method", _RENAMED.get(method, method), METHODS)
    instance = image_instance(classifier, image, segments, removal, target, gradients, 0.)
    if value is not None:
        instance = Instance(value, target, "unnamed", view=instance.view)
    return _scores(instance, method, n_samples, seed, options)
