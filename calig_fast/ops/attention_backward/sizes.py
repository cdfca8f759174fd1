"""Calls of attention_backward at the sizes of models, to be timed."""

from __future__ import annotations

from typing import Any

from ..attention_forward.pytorch import attention_forward
from ..model_sizes import Batch

WIDE_ACCESSES = ("load",)
TENSOR_CORES = True


def _timed(batch: Batch) -> tuple[Any, ...]:
    qkv, where = batch.attention(), (batch.offsets, max(batch.lengths), batch.scale)
    saved = attention_forward(qkv, *where)
    return batch.attention(1)[:, 0], qkv, *saved, *where


TIMED = {"": _timed}


def products(batch: Batch, variant: str) -> int:
    """Floating-point operations of its matrix products."""
    return batch.products_of_maps(5)
