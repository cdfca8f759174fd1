"""interpolate_path in CUDA: csrc/interpolate_path."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from .spec import DTYPES

interpolate_path = torch.ops.calig_fast.interpolate_path


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)
