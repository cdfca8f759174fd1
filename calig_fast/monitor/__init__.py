"""Watch what a model looks at while it trains: attributions of a few probes, within a share of the training's time."""

from __future__ import annotations

from .monitor import Monitor
from .probes import Probe

__all__ = ["Monitor", "Probe"]
