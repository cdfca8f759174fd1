"""attention_gradient in CUDA: csrc/attention_gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

attention_gradient = torch.ops.calig_fast.attention_gradient


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)
