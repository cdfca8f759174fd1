"""A rollout of attention maps alone, without relevance."""

from __future__ import annotations

from collections.abc import Callable

from .base import Scores, Signals, attention_maps
from .fusion import Fusion
from .rollout import rollout


def maps_rollout(normalise: bool) -> Callable[[Signals], Scores]:
    """Signals to scores: the rollout of the maps, with or without normalised rows."""
    fusion = Fusion(lam=0.0, attention_scale="none", normalise=normalise)

    def read(s: Signals) -> Scores:
        return rollout(s.relevance, attention_maps(s), s.mask, s.readout, fusion, backend=s.backend)

    return read
