"""attention_gradient in CUDA: csrc/attention_gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch
from .spec import DTYPES

attention_gradient = torch.ops.calig_fast.attention_gradient


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    positive: bool,
    tf32: bool,
    bias: Tensor | None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> Launch:
    """The call as its launcher takes it."""
    if tf32:
        raise ValueError("tf32: the emulator has no tensor cores")
    segments = len(offsets) - 1
    side = 0 if bias is None else bias.shape[1]
    numbers = [len(qkv), *qkv.shape[2:], segments, longest, SCALARS[qkv.dtype], int(positive), side]
    numbers.append(0 if relative is None else relative.shape[2])
    numbers += [longest if rows < 0 else rows for rows in (before, after)]
    return Launch(
        [gradient, qkv, lse, offsets, bias, relative], [lse.new_empty((segments, longest, longest))], numbers, [scale]
    )
