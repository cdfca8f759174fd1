"""attention_backward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..attention_forward.pytorch import logits
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
) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the maps in float32 at least."""
    found = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    kept = lse.new_zeros((maps, longest, longest))
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        (q, k, v), g = qkv[first:last].permute(1, 2, 0, 3), gradient[first:last].transpose(0, 1)
        p, dp = logits(q, k, scale, bias).softmax(-1), g @ v.mT
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        found[first:last] = torch.stack([ds @ k, ds.mT @ q, p.mT @ g]).permute(2, 0, 1, 3)
        if s < maps:
            g, q, k, v = (x.to(lse.dtype) for x in (g, q, k, v))
            kept[s, : last - first, : last - first] = of_segment(g, q, k, v, scale, positive, bias)
    return found, kept
