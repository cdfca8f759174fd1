"""fuse_rollout in C++: csrc/fuse_rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

fuse_rollout = torch.ops.calig_fast.fuse_rollout


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
