"""Integrated Gradients at the embeddings (Sundararajan et al. 2017)."""

from __future__ import annotations

from .base import Method

METHOD = Method("ig", "layer", None, lambda s: (s.relevance[:, 0], s.relevance), first_layer=True)
