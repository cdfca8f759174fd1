"""Integrated Gradients at one block input: the deepest of the layers asked for."""

from __future__ import annotations

from .base import Method, one_layer

READ, CHANGED = one_layer(-1)
METHOD = Method("layer_ig", "layer", None, READ, changed=CHANGED)
