"""Integrated Gradients at the embeddings (Sundararajan et al. 2017)."""

from __future__ import annotations

from .base import Method, one_layer

READ, CHANGED = one_layer(0)
METHOD = Method("ig", "layer", None, READ, first_layer=True, changed=CHANGED)
