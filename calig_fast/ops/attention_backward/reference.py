"""attention_backward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..attention_forward.reference import logits


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
) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the maps in float32 at least."""
    found = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    kept = lse.new_zeros((maps, longest, longest))
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        (q, k, v), g = qkv[first:last].permute(1, 2, 0, 3), gradient[first:last].transpose(0, 1)
        p, dp = logits(q, k, scale).softmax(-1), g @ v.mT
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        found[first:last] = torch.stack([ds @ k, ds.mT @ q, p.mT @ g]).permute(2, 0, 1, 3)
        if s < maps:
            g, q, k, v = (x.to(lse.dtype) for x in (g, q, k, v))
            kept[s, : last - first, : last - first] = attention_gradient(g, q, k, v, scale, positive)
    return found, kept


def attention_gradient(g: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, positive: bool) -> Tensor:
    """P (.) dP, or its positive part, in the mean of the heads: [T,T] of [H,T,E]."""
    product = logits(q, k, scale).softmax(-1) * (g @ v.mT)
    return (product.clamp_min(0) if positive else product).mean(0)
