"""Calls of fuse_rollout at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..model_sizes import TOKENS, Batch, normal
from ..samples import Case


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Rows of several blocks, and maps too large to be held."""
    for lengths in ((33,), (128,), (200,), (700,), (34, 0, 37, 219)):  # the last: some held and some not
        yield Case(f"T {lengths}", _whole(dtype, lengths))


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """One input."""
    for tokens, said in ((TOKENS, ""), (256, ", too large to be held")):
        yield Case(f"T {tokens}{said}", _whole(dtype, (tokens,)))


def _whole(dtype: torch.dtype, lengths: tuple[int, ...]) -> tuple[Any, ...]:
    tokens, bounds = sum(lengths), torch.tensor([0, *lengths]).cumsum(0)
    parts = [normal(dtype, n) for n in (tokens, sum(n**2 for n in lengths))]
    return (*parts, bounds, normal(dtype, tokens), normal(dtype, tokens), 0.5)


def _timed(batch: Batch) -> tuple[Any, ...]:
    parts = batch.draw(batch.tokens), batch.draw(sum(n * n for n in batch.lengths))
    return (*parts, batch.offsets, batch.draw(batch.tokens), batch.draw(batch.tokens), 0.5)


TIMED = {"": _timed}
