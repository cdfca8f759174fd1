"""Gradients along the paths, contracted with the directions and summed with the quadrature weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def accumulate_gradients(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool = False,
    starts: Sequence[Tensor] | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """The integrand of every path point, token by token, and its weighted sum over the path.

    phi[row] = sum_k <gradients_k[row], directions_k[token of row]>, r[t] = sum_s weights_s phi[row of t in s] over the
    segments of t's input, lig[t,d] = directions_0[t,d] sum_s weights_s gradients_0[row of t in s, d].

    Args:
        gradients: one or two [rows, D_k] float32, float64, float16 or bfloat16; segment after segment.
        directions: as many [tokens, D_k], dtype of `gradients`, of 16 bits also float32.
        offsets: [B+1] int64; input b has the tokens offsets[b] .. offsets[b+1].
        inputs: [S] int64, the input each segment belongs to.
        weights: [S] float32 or float64, quadrature weights.
        with_lig: also give the attributions element by element; takes one pair.
        starts: as many as `directions`, and like them: these are then ends, and directions_k - starts_k the directions;
            None for none.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        phi [rows], r [tokens] and lig [tokens, D_0] ([0, D_0] without `with_lig`), float64 for float64 gradients, else
        float32.

    Raises:
        TypeError: an argument of another type or dtype.
        ValueError: an argument of another shape, value or device; `with_lig` with two pairs; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(gradients, directions, offsets, inputs, weights, with_lig, starts)
    where = offsets, inputs, weights
    tensors = OPERATION(backend, list(gradients), list(directions), *where, with_lig, starts and list(starts))
    return cast(tuple[Tensor, Tensor, Tensor], tuple(tensors))
