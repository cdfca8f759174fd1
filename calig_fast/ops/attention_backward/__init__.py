"""Gradients of the self-attention of packed segments, and A (.) dF/dA of some of them."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def attention_backward(
    gradient: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    maps: int = 0,
    positive: bool = False,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Gradients of queries, keys and values, and the attention gradient of the first segments.

    With P = exp(z - lse) as in `attention_forward`, dP = g v^T and dS = P (dP - rowsum(g out)): dv = P^T g,
    dq[t,h] = scale sum_u dS[h,t,u] (k[u,h] + a[h,d]), dk[u,h] = scale sum_t dS[h,t,u] (q[t,h] + b[h,d]), and
    map = mean_h P dP, element by element.

    Args:
        gradient: g [rows,H,E], dtype of `qkv`; gradient of `out`.
        qkv: [rows,3,H,E], the argument of `attention_forward`.
        out: [rows,H,E], its result.
        lse: [H,rows], likewise.
        offsets: [S+1] int64; segment s has the rows offsets[s] .. offsets[s+1].
        longest: no segment has more rows.
        scale: factor of the logits.
        maps: M, of how many segments, from the first on, the map is given.
        positive: take the positive part of P dP before the mean.
        bias: [H,N,N] or None, the argument of `attention_forward`; it gets no gradient.
        relative: [2,H,2N-1,E] or None, likewise.
        before: its argument.
        after: its argument.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        dqkv [rows,3,H,E], dtype of `qkv`, and maps [M,longest,longest], dtype of `lse`, zeros outside a segment's own.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(gradient, qkv, out, lse, offsets, longest, maps, bias, relative, before, after)
    tensors = OPERATION(
        backend, gradient, qkv, out, lse, offsets, longest, scale, maps, positive, bias, relative, before, after
    )
    return cast(tuple[Tensor, Tensor], tuple(tensors))
