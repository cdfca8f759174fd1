"""norm_backward in CUDA: csrc/norm_backward."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch, wide
from .spec import DTYPES

norm_backward = torch.ops.calig_fast.norm_backward


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None,
    residual: Tensor | None,
) -> Launch:
    """The call as its launcher takes it."""
    statistics = [None if t is None else t.to(wide(gradient.dtype)) for t in (mean, deviation)]
    rows_a_team = 3 if len(gradient) > 3 else 0  # a batch large enough for several is too large to emulate
    numbers = [*gradient.shape, SCALARS[gradient.dtype], rows_a_team]
    return Launch([gradient, x, *statistics, weight, residual], [gradient.new_empty(gradient.shape)], numbers)
