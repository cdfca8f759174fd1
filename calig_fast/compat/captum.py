"""The old name of `calig_fast.captum`."""

from __future__ import annotations

from .._utils.warn import warn
from ..captum import IntegratedGradients, LayerConductance, LayerIntegratedGradients

__all__ = ["IntegratedGradients", "LayerConductance", "LayerIntegratedGradients"]

warn("calig_fast.compat.captum is now calig_fast.captum; the old name will go in 0.2", FutureWarning)
