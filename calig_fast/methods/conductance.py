"""Layer conductance: the path runs in input space (Dhamdhere et al. 2018)."""

from __future__ import annotations

from .base import Method, one_layer

READ, CHANGED = one_layer(-1)
METHOD = Method("conductance", "input", None, READ, changed=CHANGED)
