"""Calls of attention_forward at the sizes of models, to be timed."""

from __future__ import annotations

from typing import Any

from ..model_sizes import Batch

WIDE_ACCESSES = ("load",)
TENSOR_CORES = True


def _timed(batch: Batch) -> tuple[Any, ...]:
    return batch.attention(), batch.offsets, max(batch.lengths), batch.scale


TIMED = {"": _timed}


def products(batch: Batch, variant: str) -> int:
    """Floating-point operations of its matrix products."""
    return batch.products_of_maps(2)
