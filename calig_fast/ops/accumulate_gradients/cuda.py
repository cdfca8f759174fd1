"""accumulate_gradients in CUDA: csrc/accumulate_gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

accumulate_gradients = torch.ops.calig_fast.accumulate_gradients


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)
