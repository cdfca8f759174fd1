"""Calls of add_norm at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..model_sizes import HIDDEN, NODES, TOKENS, Batch, normal
from ..samples import Case

WIDE_ACCESSES = ("load", "store")  # its kernels are bound by memory


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Packs of 16 bytes, several pieces a row."""
    for width in (384, 1088, 1601, 8320):
        yield Case(f"D {width}", _whole(dtype, 5, width))


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """The rows of one input, of MiniLM's width."""
    yield Case(f"R {NODES * TOKENS}, D {HIDDEN}", _whole(dtype, NODES * TOKENS, HIDDEN))


def _whole(dtype: torch.dtype, rows: int, width: int) -> tuple[Any, ...]:
    """Arguments with weight and bias."""
    both = normal(dtype, rows, width), normal(dtype, rows, width) + 1
    return *both, normal(dtype, width), normal(dtype, width), 1e-5


def _timed(batch: Batch) -> tuple[Any, ...]:
    both = batch.draw(batch.rows, batch.width), batch.draw(batch.rows, batch.width)
    return *both, batch.draw(batch.width), batch.draw(batch.width), 1e-5


TIMED = {"": _timed}
