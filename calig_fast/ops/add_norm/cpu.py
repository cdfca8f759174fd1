"""add_norm in C++: csrc/add_norm."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

add_norm = torch.ops.calig_fast.add_norm


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
