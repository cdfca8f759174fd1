"""Layer conductance: the path runs in input space (Dhamdhere et al. 2018)."""

from __future__ import annotations

from .base import Method

METHOD = Method("conductance", "input", None, lambda s: (s.relevance[:, -1], s.relevance))
