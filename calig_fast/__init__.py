"""Explain decisions of transformer classifiers by signed scores, layer by layer, with an error bound."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import views  # registers how results are shown
from ._utils.version import __version__ as __version__

if TYPE_CHECKING:
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
    from .pipeline.pretrained import from_pretrained
    from .results.attribution import Attribution
    from .results.comparison import Comparison, compare
    from .results.data_set import DataSetSummary, summary
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
    "DataSetSummary",
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
    "from_pretrained",
    "metrics",
    "monitor",
    "ops",
    "register_backend",
    "register_family",
    "register_method",
    "summary",
    "views",
]
# A name is loaded at its first use: `calig --help` and `calig doctor` run without PyTorch.
_PLACES = {
    "Attribution": "results.attribution",
    "Backend": "ops.backend.base",
    "Calibrated": "pipeline.calibrated",
    "Comparison": "results.comparison",
    "DataSetSummary": "results.data_set",
    "Encoder": "model.encoder",
    "ExplainOptions": "pipeline.options",
    "Explainer": "pipeline.explain",
    "Family": "model.families",
    "Fusion": "methods.fusion",
    "Grid": "results.tokens",
    "Grouped": "results.grouping",
    "Method": "methods.base",
    "Provenance": "results.provenance",
    "Ranked": "results.grouping",
    "Rules": "model.backward_rules",
    "Signals": "methods.base",
    "Text": "results.tokens",
    "Unit": "results.units",
    "Word": "results.tokens",
    "ZeroShot": "model.zero_shot",
    "build_info": "ops.build_info",
    "compare": "results.comparison",
    "explain": "pipeline.explain",
    "from_pretrained": "pipeline.pretrained",
    "register_backend": "ops.backend",
    "register_family": "model.families",
    "register_method": "methods.registry",
    "summary": "results.data_set",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return _loaded(f"{__name__}.{name}")
    if name in _PLACES:
        globals()[name] = attribute = getattr(_loaded(f"{__name__}.{_PLACES[name]}"), name)
        return attribute
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _loaded(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            "calig_fast needs PyTorch, which is not installed: pip install torch (calig doctor shows what else is "
            "missing)",
            name="torch",
        ) from error


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
