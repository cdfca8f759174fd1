"""attention_forward in C++: csrc/attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

attention_forward = torch.ops.calig_fast.attention_forward


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
