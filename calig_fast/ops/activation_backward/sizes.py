"""Calls of activation_backward at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..model_sizes import HIDDEN, TOKENS, Batch, normal
from ..samples import Case
from .spec import KINDS

WIDE_ACCESSES = ("load", "store")  # its kernels are bound by memory


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Packs of 16 bytes, several pieces a row."""
    for kind in KINDS:
        yield Case(f"I 520, {kind}", (normal(dtype, 3, 520), normal(dtype, 3, 520), kind))
        yield Case(f"I 520, {kind}, gated", (normal(dtype, 3, 520), normal(dtype, 3, 1040), kind, True))


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """The tokens of one input, of MiniLM's width."""
    width = 4 * HIDDEN
    yield Case(f"R {TOKENS}, I {width}", (normal(dtype, TOKENS, width), normal(dtype, TOKENS, width), "gelu"))
    gated = normal(dtype, TOKENS, width), normal(dtype, TOKENS, 2 * width), "gelu", True
    yield Case(f"R {TOKENS}, I {width}, gated", gated)


def _timed(batch: Batch) -> tuple[Any, ...]:
    return batch.draw(batch.tokens, 4 * batch.width), batch.draw(batch.tokens, 4 * batch.width), "gelu"


def _timed_gated(batch: Batch) -> tuple[Any, ...]:
    return batch.draw(batch.tokens, 4 * batch.width), batch.draw(batch.tokens, 8 * batch.width), "silu", True


TIMED = {"": _timed, "gated": _timed_gated}
