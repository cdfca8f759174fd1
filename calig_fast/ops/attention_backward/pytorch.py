"""attention_backward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..attention_forward.pytorch import distances, logits
from ..attention_gradient.pytorch import of_segment


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


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
) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the maps in float32 at least."""
    dqkv = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    gradient_maps = lse.new_zeros((maps, longest, longest))
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        (q, k, v), g = qkv[first:last].permute(1, 2, 0, 3), gradient[first:last].transpose(0, 1)
        p, dp = logits(q, k, scale, bias, relative, (before, after)).softmax(-1), g @ v.mT
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        dq, dk = ds @ k, ds.mT @ q
        if relative is not None:
            keys, queries = relative
            dq, dk = dq + _by_distance(ds, relative) @ keys, dk + _by_distance(ds, relative, of_keys=True) @ queries
        dqkv[first:last] = torch.stack([dq, dk, p.mT @ g]).permute(2, 0, 1, 3)
        if s < maps:
            g, q, k, v = (x.to(lse.dtype) for x in (g, q, k, v))
            gradient_maps[s, : last - first, : last - first] = of_segment(
                g, q, k, v, scale, positive, bias, relative, (before, after)
            )
    return dqkv, gradient_maps


def _by_distance(ds: Tensor, relative: Tensor, of_keys: bool = False) -> Tensor:
    """[H,T,2N-1] of dS [H,T,T]: its elements at the distances of each query, or of each key, zeros elsewhere."""
    where, out = distances(ds.shape[1], relative), ds.new_zeros((*ds.shape[:2], relative.shape[2]))
    if of_keys:
        ds, where = ds.mT, where.mT
    return out.scatter_(2, where.expand(ds.shape), ds)
