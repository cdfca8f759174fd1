"""Integrated Gradients at one block input: the deepest of the layers asked for."""

from __future__ import annotations

from .base import Method

METHOD = Method("layer_ig", "layer", None, lambda s: (s.relevance[:, -1], s.relevance))
