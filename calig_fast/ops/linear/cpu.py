"""linear in C++: csrc/linear."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

linear = torch.ops.calig_fast.linear


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors, DTYPES)
