"""The old name of `calig_fast.captum`."""

from __future__ import annotations

import warnings

from ..captum import IntegratedGradients, LayerConductance, LayerIntegratedGradients

__all__ = ["IntegratedGradients", "LayerConductance", "LayerIntegratedGradients"]

warnings.warn(
    "calig_fast.compat.captum is now calig_fast.captum; the old name will go in 0.2", FutureWarning, stacklevel=2
)
