"""fuse_rollout in CUDA: csrc/fuse_rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

fuse_rollout = torch.ops.calig_fast.fuse_rollout


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)
