"""Timing of an explanation beside Captum's loop over the layers, with the errors that both reach."""

from __future__ import annotations

from .gates import RedGateError
from .run import Bench, Row, bench

__all__ = ["Bench", "RedGateError", "Row", "bench"]
