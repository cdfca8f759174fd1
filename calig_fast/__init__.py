"""Explain decisions of transformer classifiers by signed scores, layer by layer, with an error bound."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import views  # registers how results are shown
from ._utils.version import __version__ as __version__
from .methods.base import Method, Signals
from .methods.fusion import Fusion
from .methods.registry import register_method
from .model.backward_rules import Rules
from .model.encoder import Encoder
from .model.families import Family, register_family
from .model.zero_shot import ZeroShot
from .ops.backend import register_backend
from .ops.backend.base import Backend
from .ops.build_info import build_info
from .pipeline.calibrated import Calibrated
from .pipeline.explain import Explainer, explain
from .pipeline.options import ExplainOptions
from .results.attribution import Attribution
from .results.comparison import Comparison, compare
from .results.grouping import Grouped, Ranked
from .results.provenance import Provenance
from .results.tokens import Grid, Text, Word
from .results.units import Unit

_ROOMS = ("bench", "captum", "corpus", "demo", "metrics", "monitor", "ops")  # loaded at their first use
__all__ = [
    "Attribution",
    "Backend",
    "Calibrated",
    "Comparison",
    "Encoder",
    "ExplainOptions",
    "Explainer",
    "Family",
    "Fusion",
    "Grid",
    "Grouped",
    "Method",
    "Provenance",
    "Ranked",
    "Rules",
    "Signals",
    "Text",
    "Unit",
    "Word",
    "ZeroShot",
    "bench",
    "build_info",
    "captum",
    "compare",
    "corpus",
    "demo",
    "explain",
    "metrics",
    "monitor",
    "ops",
    "register_backend",
    "register_family",
    "register_method",
    "views",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
