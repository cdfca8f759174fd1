"""interpolate_path in C++: csrc/interpolate_path."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal

interpolate_path = torch.ops.calig_fast.interpolate_path


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
