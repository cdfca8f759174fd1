"""Explain what a transformer classifier decided: signed scores, layer by layer, with an error bound."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import views  # registers how results are shown
from ._explain import Explainer, explain
from .methods.fusion import Fusion
from .ops.build_info import build_info
from .results.attribution import Attribution
from .results.comparison import Comparison, compare
from .results.tokens import Grid, Text, Word

if TYPE_CHECKING:
    from . import bench, captum, demo, metrics, monitor, ops

__version__ = "0.1.0"
_ROOMS = ("bench", "captum", "demo", "metrics", "monitor", "ops")  # loaded at their first use
__all__ = [
    "Attribution",
    "Comparison",
    "Explainer",
    "Fusion",
    "Grid",
    "Text",
    "Word",
    "bench",
    "build_info",
    "captum",
    "compare",
    "demo",
    "explain",
    "metrics",
    "monitor",
    "ops",
    "views",
]


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
