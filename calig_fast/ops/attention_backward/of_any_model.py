"""The attention times its gradient, of the q, k and v of any model, without a map a head in memory."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..._utils.arguments import choice
from ..attention_forward import attention_forward
from ..attention_gradient import attention_gradient
from ..attention_gradient.spec import DTYPES
from ..checks import check_same_device, check_tensor
from ..packing import Packed
from . import attention_backward

Of = Literal["map", "rows", "columns"]


@torch.no_grad()
def attention_gradient_map(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dout: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
    of: Of = "map",
    positive: bool = False,
    backend: str = "auto",
) -> Tensor:
    """A (.) dF/dA of a self-attention, in the mean of the heads, from the gradient of its output.

    With A = softmax(scale q k^T) and dF/dA = dout v^T: M[b,t,u] = mean_h A[b,h,t,u] dF/dA[b,h,t,u]. Its sums need no
    map: sum_u M[b,t,u] = mean_h <out, dout>[b,h,t], and sum_t M[b,t,u] = mean_h <v, dF/dv>[b,h,u]. The attention is
    computed again in tiles, so that PyTorch's or flash attention need not give their maps.

    Args:
        q: [B,H,T,E] float32, float64, float16 or bfloat16 (both summed in float32), the queries.
        k: [B,G,T,E], dtype of `q`, the keys; G divides H, and each head of keys serves H/G heads of queries.
        v: as `k`, the values.
        dout: [B,H,T,E], dtype of `q`, gradient of F with respect to the attention's output.
        mask: [B,T] bool, True at real tokens; None where all are real. Padding attends to nothing and has zeros.
        scale: factor of the logits; None for 1/sqrt(E).
        of: "map" for M; "rows" for its sum over the keys u, "columns" for its sum over the queries t, each in memory
            of O(T).
        positive: take the positive part of A (.) dF/dA before the mean; for "map" alone.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        [B,T,T] for "map", else [B,T]; float64 for float64, else float32.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape, value or device; `positive` of a sum; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    choice("of", of, ("map", "rows", "columns"))
    if positive and of != "map":
        raise ValueError(
            f'positive: the positive part has no sum without its map; take of="map" and sum, got of="{of}"'
        )
    check_tensor("q", q, ["B", "H", "T", "E"], DTYPES)
    batch, heads, tokens, size = q.shape
    check_tensor("k", k, [batch, "G", tokens, size], [q.dtype])
    groups = k.shape[1]
    if groups == 0 or heads % groups:
        raise ValueError(f"k: expected a number of heads that divides the {heads} of q, got {groups}")
    check_tensor("v", v, [batch, groups, tokens, size], [q.dtype])
    check_tensor("dout", dout, list(q.shape), [q.dtype])
    if mask is not None:
        check_tensor("mask", mask, [batch, tokens], [torch.bool])
    check_same_device({"q": q, "k": k, "v": v, "dout": dout, **({} if mask is None else {"mask": mask})})
    packed = Packed.of(q.new_ones((batch, tokens), dtype=torch.bool) if mask is None else mask)
    k, v = (t if groups == heads else t.repeat_interleave(heads // groups, 1) for t in (k, v))
    qkv = packed.pack(torch.stack([q, k, v], 3).permute(0, 2, 3, 1, 4))
    gradient = packed.pack(dout.transpose(1, 2)).contiguous()
    longest = tokens if packed.full else packed.segments.longest
    where = packed.offsets, longest, size**-0.5 if scale is None else scale
    out, lse = attention_forward(qkv, *where, backend=backend)
    if of == "map":
        maps = attention_gradient(gradient, qkv, lse, *where, positive, backend=backend)
        return _at_their_places(maps, packed)
    pair = out, gradient
    if of == "columns":
        dqkv, _ = attention_backward(gradient, qkv, out, lse, *where, backend=backend)
        pair = qkv[:, 2], dqkv[:, 2]
    products = (pair[0].to(lse.dtype) * pair[1].to(lse.dtype)).sum(2).mean(1)
    return packed.unpack(products)


def _at_their_places(maps: Tensor, packed: Packed) -> Tensor:
    """Maps of packed segments [B,longest,longest] as [B,T,T], zeros at padding."""
    if packed.full:
        return maps
    batch, tokens = packed.shape
    out = maps.new_zeros((batch, tokens, tokens))
    for b, count in enumerate(packed.lengths):
        real = packed.places(b)
        out[b, real[:, None], real] = maps[b, :count, :count]
    return out
