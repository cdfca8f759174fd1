"""Calls of accumulate_gradients at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..model_sizes import HIDDEN, INPUTS, NODES, OFFSETS, TOKENS, Batch, normal
from ..samples import Case

WIDE_ACCESSES = ("load",)  # its kernels are bound by memory; they store a number a row


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Packs of 16 bytes, several pieces a row."""
    for widths in ((8,), (1032,), (264, 1100)):
        lists = [[normal(dtype, n, w) for w in widths] for n in (13, 8)]
        rest = OFFSETS, INPUTS, torch.rand(3), len(widths) == 1
        yield Case(f"D {widths}", (*lists, *rest))
        starts = [normal(dtype, 8, w) for w in widths]
        yield Case(f"D {widths}, starts", (*lists, *rest, starts))
        if dtype.itemsize == 2:
            wide = [t.float() for t in lists[1]], *rest, [t.float() for t in starts]
            yield Case(f"D {widths}, float32, starts", (lists[0], *wide))


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """One input of MiniLM's width."""
    rows = [normal(dtype, NODES * TOKENS, HIDDEN)], [normal(dtype, TOKENS, HIDDEN)]
    where = torch.tensor([0, TOKENS]), torch.zeros(NODES, dtype=torch.int64)
    yield Case(f"T {TOKENS}, D {HIDDEN}, S {NODES}", (*rows, *where, torch.rand(NODES)))
    starts = False, [normal(dtype, TOKENS, HIDDEN)]
    yield Case(f"T {TOKENS}, D {HIDDEN}, S {NODES}, starts", (*rows, *where, torch.rand(NODES), *starts))


def _timed(batch: Batch) -> tuple[Any, ...]:
    weights, widths = batch.nodes(), (batch.width, 3 * batch.width)
    lists = [[batch.draw(rows, width) for width in widths] for rows in (batch.rows, batch.tokens, batch.tokens)]
    return (*lists[:2], batch.offsets, batch.inputs, weights, False, lists[2])


def _timed_lig(batch: Batch) -> tuple[Any, ...]:
    weights = batch.nodes()
    lists = [[batch.draw(rows, batch.width)] for rows in (batch.rows, batch.tokens)]
    return (*lists, batch.offsets, batch.inputs, weights, True)


TIMED = {"": _timed, "lig": _timed_lig}
