"""Self-attention of packed segments, without a map in memory."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def attention_forward(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Every segment's rows attend to each other, or to those of a band around themselves.

    With z[h,t,u] = scale (<q[t,h], k[u,h]> + <q[t,h], a[h,d]> + <k[u,h], b[h,d]>) + bias[h,t',u'] over the rows u of
    t's segment, t' and u' their places in it, t' - before <= u' <= t' + after, d = t' - u' + N - 1, a and b the halves
    of `relative`: lse[h,t] = log sum_u exp z[h,t,u], out[t,h] = sum_u exp(z[h,t,u] - lse[h,t]) v[u,h].

    Args:
        qkv: [rows,3,H,E] float32, float64, float16 or bfloat16 (both summed in float32); queries, keys, values.
        offsets: [S+1] int64; segment s has the rows offsets[s] .. offsets[s+1].
        longest: no segment has more rows.
        scale: factor of the logits.
        bias: [H,N,N], N at least `longest`, finite, dtype of `lse`; None for none. It is of relative positions in
            BEiT, Swin, MPNet and T5.
        relative: [2,H,2N-1,E], N at least `longest`, dtype of `qkv`; None for none. Keys and queries of relative
            positions, as in DeBERTa.
        before: rows before a query that it attends to, -1 for all.
        after: rows after it, likewise; 0 is causal attention.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        out [rows,H,E], dtype of `qkv`, and lse [H,rows], float64 for float64, else float32.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(qkv, offsets, longest, bias, relative, before, after)
    tensors = OPERATION(backend, qkv, offsets, longest, scale, bias, relative, before, after)
    return cast(tuple[Tensor, Tensor], tuple(tensors))
