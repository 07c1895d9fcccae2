"""Perturbation-based explanations and the place where they are checked.

    import xai_repro as xr
    attribution = xr.explain("efficientnet_lite0", "photo.jpg")    # GLIME, of the top class
    attribution.plot()
    attribution.certify(radius=3)

    instance = xr.image("photo.jpg", "efficientnet_lite0")
    xr.evaluate(instance, xr.explain(instance, "lime"))

`xr.METHODS` and `xr.METRICS` are the tables of what there is. Everything is imported when it is
first used.
"""
from importlib import import_module

from xai_repro import _aliases

__version__ = "0.1.0"

_MODULE_OF = {
    "image": "api",
    "text": "api",
    "tabular": "api",
    "audio": "api",
    "function": "api",
    "certify": "api",
    "wrap": "wrapping",
    "METHODS": "explain.methods",
    "Method": "explain.methods",
    "Attribution": "explain.attribution",
    "load": "explain.attribution",
    "METRICS": "evaluate.metrics",
    "Metric": "evaluate.metrics",
    "Instance": "inputs.instance",
    "Cache": "cache",
}
# `explain` and `evaluate` are sub-packages that can be called
__all__ = sorted([*_MODULE_OF, "evaluate", "explain"])

_aliases.install()


def __getattr__(name: str) -> object:
    if name in ("explain", "evaluate", "bridges"):
        return import_module(f"{__name__}.{name}")
    if name in _aliases.FRONT: return _aliases.front(name)
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
