"""activation_backward in C++: csrc/activation_backward."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

activation_backward = torch.ops.calig_fast.activation_backward


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
