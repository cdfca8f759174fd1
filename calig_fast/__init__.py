"""Explain what a transformer classifier decided: signed scores, layer by layer, with an error bound."""

from __future__ import annotations

from .attribution import Attribution, Grid, Text, Word
from .build import build_info
from .explain import Explainer, explain
from .method.fusion import Fusion
from .views.comparison import Comparison, compare

__version__ = "0.1.0"
__all__ = [
    "Attribution",
    "Comparison",
    "Explainer",
    "Fusion",
    "Grid",
    "Text",
    "Word",
    "build_info",
    "compare",
    "explain",
]
