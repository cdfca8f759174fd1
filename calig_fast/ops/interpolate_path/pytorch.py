"""interpolate_path in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import segments


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def interpolate_path(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> Tensor:
    """One torch.lerp a segment: exact at both ends, and bfloat16 is computed in float32."""
    places, first = segments(offsets, inputs), start[:0] if before is None else before
    joined = first.new_empty((len(first) + (places[-1].rows.stop if places else 0), start.shape[1]))
    if len(first):
        joined[: len(first)] = first
    points = joined[len(first) :]
    for (tokens, own_rows), a in zip(places, nodes.tolist(), strict=True):
        if points.dtype == start.dtype:
            torch.lerp(start[tokens], end[tokens], a, out=points[own_rows])
        else:
            points[own_rows] = torch.lerp(start[tokens], end[tokens], a)
    return joined
