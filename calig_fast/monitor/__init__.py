"""Explanations of a model during its training: attributions of a few probes, within a share of the time."""

from __future__ import annotations

from .monitor import Monitor
from .probes import Probe

__all__ = ["Monitor", "Probe"]
