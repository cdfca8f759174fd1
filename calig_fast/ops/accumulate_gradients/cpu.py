"""accumulate_gradients in C++: csrc/accumulate_gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

accumulate_gradients = torch.ops.calig_fast.accumulate_gradients


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
