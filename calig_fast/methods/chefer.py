"""Generic rule for self-attention: R += mean_h max(0, A (.) dA) R (Chefer et al. 2021)."""

from __future__ import annotations

from .base import Method
from .maps_rollout import maps_rollout

METHOD = Method("chefer", "none", "positive_gradient", maps_rollout(normalise=False))
