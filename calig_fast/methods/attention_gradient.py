"""Rollout of signed attention gradients: R += mean_h (A (.) dA) R."""

from __future__ import annotations

from .base import Method
from .maps_rollout import maps_rollout

METHOD = Method("attention_gradient", "none", "gradient", maps_rollout(normalise=False))
