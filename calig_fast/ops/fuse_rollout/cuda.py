"""fuse_rollout in CUDA: csrc/fuse_rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch
from .spec import DTYPES

fuse_rollout = torch.ops.calig_fast.fuse_rollout


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


SCALES = ("none", "sum", "max", "max_t")  # RolloutScale of csrc/fuse_rollout/fuse_rollout.h


def launch(
    relevance: Tensor,
    attention: Tensor,
    offsets: Tensor,
    row: Tensor,
    identity: Tensor,
    lam: float,
    residual: float,
    relevance_scale: str,
    attention_scale: str,
    normalise: bool,
) -> Launch:
    """The call as its launcher takes it."""
    scales = [SCALES.index(relevance_scale), SCALES.index(attention_scale)]
    most_held = 0 if len(relevance) % 2 else 200  # odd ones as if no map could be held
    sizes = len(relevance), len(offsets) - 1, SCALARS[relevance.dtype]
    numbers = [*sizes, *scales, int(normalise), len(attention), most_held]
    outputs = [row.new_empty(row.shape), row.new_empty(row.shape)]
    return Launch([relevance, attention, offsets, row, identity], outputs, numbers, [lam, residual])
