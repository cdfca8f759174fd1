"""attention_backward in C++: csrc/attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

attention_backward = torch.ops.calig_fast.attention_backward


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
