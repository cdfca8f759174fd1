"""attention_forward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def logits(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """[H,T,U] of q and k [H,T,E]."""
    return (q * scale) @ k.transpose(-1, -2)


def attention_forward(qkv: Tensor, offsets: Tensor, longest: int, scale: float) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the log-sums in float32 at least."""
    rows, _, heads, size = qkv.shape
    out = qkv.new_empty((rows, heads, size))
    wide = torch.promote_types(qkv.dtype, torch.float32)
    lse = qkv.new_empty((heads, rows), dtype=wide)
    for first, last in pairwise(offsets.tolist()):
        q, k, v = qkv[first:last].permute(1, 2, 0, 3)
        out[first:last] = (logits(q, k, scale).softmax(-1) @ v).transpose(0, 1)
        lse[:, first:last] = logits(q.to(wide), k.to(wide), scale).logsumexp(-1)
    return out, lse
