"""The names that modules had before they were sorted into sub-packages, for existing users.

`import xai_repro.lfa` and `from xai_repro.lfa import lime` go on working, with a
DeprecationWarning that names the new place.
"""
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# old module -> where its names are now, the first that has a name wins
MODULES = {
    "attributions": ("_compat", "explain.methods", "explain.attribution", "explain.gradients",
                     "inputs.instance", "inputs.image", "inputs.text"),
    "autoencoder": ("zoo.autoencoder",),
    "baselines": ("_compat",),
    "boolean": ("evaluate.boolean",),
    "certificates": ("evaluate.certificates",),
    "cli": ("workbook.cli",),
    "data": ("zoo.assets", "zoo.photographs", "workbook.shards", "ground"),
    "existing": ("explain.captum_methods",),
    "faithfulness": ("evaluate.faithfulness",),
    "features": ("inputs.segmentation",),
    "heatmaps": ("explain.maps", "workbook.lime_g"),
    "histology": ("zoo.histology",),
    "inpainting": ("zoo.inpainter",),
    "judges": ("evaluate.metrics", "explain.methods"),
    "ledger": ("workbook.ledger",),
    "lfa": ("explain.lfa",),
    "localisation": ("evaluate.localisation",),
    "masked": ("value", "inputs.image", "inputs.text", "cache"),
    "models": ("zoo.models",),
    "moments": ("explain.limits",),
    "neighborhoods": ("explain.distributions",),
    "networks": ("zoo.tabular_networks",),
    "patches": ("explain.transformers", "inputs.tokens", "vision_transformers"),
    "removal": ("inputs.removal", "zoo.inpainter"),
    "robustness": ("evaluate.robustness", "workbook.lime_g"),
    "runner": ("workbook.runner", "workbook.values"),
    "scenes": ("zoo.scenes",),
    "similarity": ("evaluate.similarity",),
    "stability": ("evaluate.seed_stability",),
    "store": ("cache", "ground"),
    "subsets": ("explain.subsets",),
    "surrogates": ("explain.surrogates",),
    "sweep": ("workbook.sweep", "workbook.workers"),
    "tabular": ("zoo.tabular",),
    "text": ("zoo.text", "inputs.text"),
    "tiny": ("zoo.architectures",),
    "tiny_imagenet": ("zoo.tiny_imagenet",),
    "training": ("zoo.training",),
}

# names that changed, by old module
NAMES = {
    "attributions": {"Attribution": "Method", "ATTRIBUTIONS": "METHODS"},
    "baselines": {"attribute": "attribute_image"},
    "certificates": {"size_law": "size_distribution"},
    "data": {"places": "candidates", "photographs": "embedded_photographs"},
    "faithfulness": {"ROWS": "POINTS_AT_ONCE"},
    "judges": {"JUDGES": "METRICS", "Judge": "Metric", "MANY": "FIRST_SEED",
               "ranks": "rank_methods"},
    "ledger": {"of_claim": "claim_p_values", "place_of": "split_source",
               "tested": "tested_claims"},
    "lfa": {"METHODS": "TABLE_1", "Method": "Row", "Methods": "Rows"},
    "masked": {"Scored": "MaskedValue"},
    "moments": {"binomial_law": "binomial_probabilities"},
    "neighborhoods": {"Neighborhood": "Distribution", "by_size": "BySize"},
    "runner": {"Place": "RunPaths", "place": "locate"},
    "stability": {"Rows": "Variants"},
    "text": {"ASKED": "EMOTION_SENTENCES"},
    "tiny": {"drop": "drop_tokens", "size": "count_parameters"},
    "tiny_imagenet": {"ask": "masked_logits", "says": "predict_pictures"},
}


REGISTERING = ("inpainting", "removal")     # old modules whose import made methods known by name
FRONT = ("tabular", "text")     # old modules with the name of a function of the front


class _Alias(ModuleType):
    """A module that looks its names up where they are now."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"): raise AttributeError(name)
        old = self.__name__.partition(".")[2]
        new = NAMES.get(old, {}).get(name, name)
        for target in MODULES[old]:
            module = import_module(f"xai_repro.{target}")
            if hasattr(module, new): return getattr(module, new)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _CallableAlias(_Alias):
    """A function of the front that is the old module of its name too: `xr.text.load_text`."""

    @property
    def __wrapped__(self) -> Callable:
        """The function; `inspect.signature` and IPython's `?` look here."""
        return getattr(import_module("xai_repro.api"), self.__name__.partition(".")[2])

    def __call__(self, *args: object, **options: object) -> object:
        return self.__wrapped__(*args, **options)

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return front, (self.__name__.partition(".")[2],)


@cache
def front(name: str) -> ModuleType:
    """A function of the front, by a name in FRONT."""
    function = _CallableAlias(f"xai_repro.{name}")
    function.__doc__ = function.__wrapped__.__doc__
    return function


class _AliasLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        of_the_front = spec.name.partition(".")[2] in FRONT
        return _CallableAlias(spec.name) if of_the_front else _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.partition(".")[2]
        if isinstance(module, _CallableAlias): module.__doc__ = module.__wrapped__.__doc__
        modules = [f"xai_repro.{target}" for target in MODULES[old] if target != "_compat"]
        if old in REGISTERING: import_module(modules[-1])
        new = ", ".join(modules) or "xai_repro.explain"
        message = f"{module.__name__} is now {new}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)


class _AliasFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != "xai_repro" or name not in MODULES: return None
        return ModuleSpec(fullname, _AliasLoader())


def install() -> None:
    """Make the old names importable; once, however often it is called."""
    if not any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        sys.meta_path.append(_AliasFinder())
