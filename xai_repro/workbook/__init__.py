"""The replication record, for notebooks: `from xai_repro import workbook as wb`.

The names below are fetched from their module when they are first used, so that importing this
package is light.
"""
from importlib import import_module

NAMES = {     # module -> what notebooks use of it
    "claims": ("MARGIN", "FEWEST", "RULE", "intervals", "interval", "verdict", "Claim",
               "test_claim", "paired", "effects", "label_of"),
    "comparison": ("EFFECT", "published", "summarize", "summarize_each", "compare",
                   "beside_published", "side_by_side", "effect_text", "effect_texts"),
    "results": ("PROFILES", "Results", "environment", "largest", "found", "substitutions",
                "headline", "verdicts", "caption", "Clock", "Run", "open_run", "model_facts",
                "show_verdicts", "claims_table", "cells_table", "claim_cells"),
    "networks": ("load_network",),
    "figures": ("COLORS", "PALETTE", "LOOK", "style", "figure", "save_figure", "draw_line",
                "draw_intervals", "effect_panel", "line_panels", "legend_below", "sample_axis",
                "stacked_bars", "show", "explore"),
    "keys": ("code_version",),
}
RENAMED = {"judge": "test_claim"}     # what they were called before
_MODULE_OF = {name: module for module, names in NAMES.items() for name in names}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> object:
    new = RENAMED.get(name, name)
    if new not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[new]}"), new)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
