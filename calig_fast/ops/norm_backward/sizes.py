"""Calls of norm_backward at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..launch import wide
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
    """Arguments with weight and residual."""
    statistics = torch.randn(rows, 1).to(wide(dtype)), torch.rand(rows, 1).to(wide(dtype)) + 0.5
    both = normal(dtype, rows, width), normal(dtype, rows, width)
    return *both, *statistics, normal(dtype, width), normal(dtype, rows, width)


def _timed(batch: Batch) -> tuple[Any, ...]:
    x, weight = batch.draw(batch.rows, batch.width), batch.draw(batch.width)
    _, mean, deviation = torch.ops.aten.native_layer_norm(x, (batch.width,), weight, None, 1e-5)
    return batch.draw(batch.rows, batch.width), x, mean, deviation, weight, batch.draw(batch.rows, batch.width)


TIMED = {"": _timed}
