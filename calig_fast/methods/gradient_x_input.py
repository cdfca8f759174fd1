"""Gradient times hidden state at the embeddings."""

from __future__ import annotations

from .base import Method

METHOD = Method("gradient_x_input", "none", None, lambda s: (s.product[:, 0], s.product))
