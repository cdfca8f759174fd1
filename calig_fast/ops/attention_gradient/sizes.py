"""Calls of attention_gradient at the sizes of models: wider than the sample cases, counted by the emulator, timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..attention_forward.pytorch import attention_forward
from ..attention_forward.spec import exact
from ..launch import wide
from ..model_sizes import HEADS, HIDDEN, TOKENS, Batch, normal
from ..samples import Case

FLOOR = 8  # its log-sums come rounded; plain PyTorch makes its own softmax
TENSOR_CORES = True


def wider(dtype: torch.dtype) -> Iterator[Case]:
    """Several pieces a head with and without a tail, units cut off, whole tiles, one head alone."""
    for tokens, heads, size in ((68, 2, 64), (64, 1, 128), (30, 2, 136), (12, 3, 20), (9, 1, 5)):
        yield Case(f"T {tokens}, {heads} heads of {size}", _one_segment(dtype, tokens, heads, size))
    bias = torch.randn(2, 70, 70).to(wide(dtype))
    yield Case("T 68, 2 heads of 64, bias", _one_segment(dtype, 68, 2, 64, bias))


def _one_segment(dtype: torch.dtype, tokens: int, heads: int, size: int, bias: Tensor | None = None) -> tuple[Any, ...]:
    """A segment of the tokens, and one without any."""
    qkv, offsets, scale = normal(dtype, tokens, 3, heads, size), torch.tensor([0, 0, tokens]), size**-0.5
    lse = exact(qkv, offsets, tokens, scale, bias)[1].to(wide(dtype))
    return normal(dtype, tokens, heads, size), qkv, lse, offsets, tokens, scale, False, False, bias


def counted(dtype: torch.dtype) -> Iterator[Case]:
    """One input of MiniLM's width."""
    size = HIDDEN // HEADS
    qkv, lse = normal(dtype, TOKENS, 3, HEADS, size), torch.zeros(HEADS, TOKENS, dtype=wide(dtype))
    maps = normal(dtype, TOKENS, HEADS, size), qkv, lse, torch.tensor([0, TOKENS]), TOKENS, size**-0.5
    yield Case(f"T {TOKENS}, H {HEADS}, E {size}", maps)
    bias = torch.zeros(HEADS, TOKENS, TOKENS, dtype=wide(dtype))
    yield Case(f"T {TOKENS}, H {HEADS}, E {size}, bias", (*maps, False, False, bias))


def _timed(batch: Batch) -> tuple[Any, ...]:
    qkv, where = batch.attention(), (batch.offsets, max(batch.lengths), batch.scale)
    lse = attention_forward(qkv, *where)[1]
    return batch.attention(1)[:, 0], qkv, lse, *where


TIMED = {"": _timed}


def products(batch: Batch, variant: str) -> int:
    """Floating-point operations of its matrix products."""
    return batch.products_of_maps(2)
