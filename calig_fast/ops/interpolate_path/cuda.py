"""interpolate_path in CUDA: csrc/interpolate_path."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch, segment_rows
from .spec import DTYPES

interpolate_path = torch.ops.calig_fast.interpolate_path


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> Launch:
    """The call as its launcher takes it, which makes `steps` and `begin` itself."""
    first = start[:0] if before is None else before
    points = first.new_empty((len(first) + segment_rows(offsets, inputs), start.shape[1]))
    numbers = [*start.shape, len(offsets) - 1, len(inputs), SCALARS[start.dtype], SCALARS[first.dtype], len(first)]
    return Launch([start, end, offsets, inputs, nodes.double(), before], [points], numbers)
