"""interpolate_path in C++: csrc/interpolate_path."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cpu import refusal


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal(tensors)


def interpolate_path(
    start: Tensor, end: Tensor, offsets: Tensor, inputs: Tensor, nodes: Tensor, rows: int | None = None
) -> Tensor:
    """The compiled operation, which counts the rows itself."""
    found: Tensor = torch.ops.calig_fast.interpolate_path(start, end, offsets, inputs, nodes)
    return found
