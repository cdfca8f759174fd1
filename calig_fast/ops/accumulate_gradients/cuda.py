"""accumulate_gradients in CUDA: csrc/accumulate_gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch, wide
from .spec import DTYPES

accumulate_gradients = torch.ops.calig_fast.accumulate_gradients


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(
    gradients: list[Tensor],
    directions: list[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool,
    starts: list[Tensor] | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> Launch:
    """The call as its launcher takes it, which makes `steps` and `begin` itself."""
    tokens, dtype, second = len(directions[0]), gradients[0].dtype, len(gradients) == 2
    shapes = (len(gradients[0]),), (tokens,), (tokens if with_lig else 0, directions[0].shape[1])
    outputs = [gradients[0].new_empty(shape, dtype=wide(dtype)) for shape in shapes]
    pairs = [x for given in (gradients, directions, starts or ()) for x in (*given, None, None)[:2]]
    widths = [directions[0].shape[1], directions[1].shape[1] if second else 0]
    numbers = [tokens, *widths, len(offsets) - 1, len(inputs), SCALARS[dtype], SCALARS[directions[0].dtype]]
    return Launch([*pairs, offsets, inputs, weights.double()], outputs, [*numbers, len(gradients), int(with_lig)])
