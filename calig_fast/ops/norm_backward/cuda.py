"""norm_backward in CUDA: csrc/norm_backward."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

norm_backward = torch.ops.calig_fast.norm_backward


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)
