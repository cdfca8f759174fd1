"""A (.) dF/dA of packed segments, in the mean of the heads, without a map a head in memory."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def attention_gradient(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    positive: bool = False,
    tf32: bool = False,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
    backend: str = "auto",
) -> Tensor:
    """Attention times its gradient, element by element, in the mean of the heads.

    With P = exp(z - lse) as in `attention_forward` and dP = g v^T: M[s,t,u] = mean_h P[h,t,u] dP[h,t,u] for the rows
    t and u of segment s.

    Args:
        gradient: g [rows,H,E], dtype of `qkv`; gradient of `attention_forward`'s `out`.
        qkv: [rows,3,H,E] float32, float64, float16 or bfloat16 (both summed in float32), its argument.
        lse: [H,rows], its result: float64 for float64, else float32.
        offsets: [S+1] int64; segment s has the rows offsets[s] .. offsets[s+1].
        longest: no segment has more rows.
        scale: factor of the logits.
        positive: take the positive part of P dP before the mean.
        tf32: let the products of float32 have ten bits of mantissa, where the backend has such ('cuda').
        bias: [H,N,N] or None, the argument of `attention_forward`.
        relative: [2,H,2N-1,E] or None, likewise.
        before: its argument.
        after: its argument.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        M [S,longest,longest], dtype of `lse`, zeros outside a segment's own.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(gradient, qkv, lse, offsets, longest, bias, relative, before, after)
    maps = OPERATION(
        backend, gradient, qkv, lse, offsets, longest, scale, positive, tf32, bias, relative, before, after
    )
    return cast(Tensor, maps)
