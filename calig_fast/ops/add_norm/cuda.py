"""add_norm in CUDA: csrc/add_norm."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch
from .spec import DTYPES, fake

add_norm = torch.ops.calig_fast.add_norm


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(x: Tensor, residual: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Launch:
    """The call as its launcher takes it."""
    rows_a_team = 6 if len(x) > 6 else 0  # a batch large enough for several is too large to emulate
    numbers = [*x.shape, SCALARS[x.dtype], rows_a_team]
    return Launch([x, residual, weight, bias], list(fake(x, residual)), numbers, [eps])
