"""Calls of interpolate_path at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..model_sizes import HIDDEN, INPUTS, NODES, OFFSETS, TOKENS, Batch, normal
from ..samples import Case

WIDE_ACCESSES = ("load", "store")  # its kernels are bound by memory


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Packs of 16 bytes, several pieces a row."""
    for width in (8, 264, 768):
        args = *(normal(dtype, 8, width) for _ in range(2)), OFFSETS, INPUTS, torch.rand(3)
        yield Case(f"D {width}", args)
        yield Case(f"D {width}, before", (*args, 13, normal(dtype, 6, width)))
        if dtype.itemsize == 2:
            wide = *(end.float() for end in args[:2]), *args[2:]
            yield Case(f"D {width}, float32, before", (*wide, 13, normal(dtype, 6, width)))


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """One input of MiniLM's width."""
    ends = normal(dtype, TOKENS, HIDDEN), normal(dtype, TOKENS, HIDDEN)
    where = torch.tensor([0, TOKENS]), torch.zeros(NODES, dtype=torch.int64)
    yield Case(f"T {TOKENS}, D {HIDDEN}, S {NODES}", (*ends, *where, torch.rand(NODES)))
    first = NODES * TOKENS, normal(dtype, NODES * TOKENS, HIDDEN)
    yield Case(f"T {TOKENS}, D {HIDDEN}, S {NODES}, before", (*ends, *where, torch.rand(NODES), *first))


def _timed(batch: Batch) -> tuple[Any, ...]:
    ends = batch.draw(batch.tokens, batch.width), batch.draw(batch.tokens, batch.width)
    return (*ends, batch.offsets, batch.inputs, batch.nodes(), batch.rows)


def _timed_joined(batch: Batch) -> tuple[Any, ...]:
    return *_timed(batch), batch.draw(batch.rows, batch.width)


TIMED = {"": _timed, "joined": _timed_joined}
