"""Attention rollout: rows of (A + I) / 2 (Abnar and Zuidema 2020)."""

from __future__ import annotations

from .base import Method
from .maps_rollout import maps_rollout

METHOD = Method("rollout", "none", "attention", maps_rollout(normalise=True))
