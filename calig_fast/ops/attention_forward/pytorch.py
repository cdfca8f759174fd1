"""attention_forward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def logits(q: Tensor, k: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """[H,T,U] of q and k [H,T,E]; of the bias [H,N,N] the first T x U are added."""
    found = (q * scale) @ k.transpose(-1, -2)
    return found if bias is None else (found + bias[:, : found.shape[1], : found.shape[2]]).to(found.dtype)


def attention_forward(
    qkv: Tensor, offsets: Tensor, longest: int, scale: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the log-sums in float32 at least."""
    rows, _, heads, size = qkv.shape
    out = qkv.new_empty((rows, heads, size))
    wide = torch.promote_types(qkv.dtype, torch.float32)
    lse = qkv.new_empty((heads, rows), dtype=wide)
    for first, last in pairwise(offsets.tolist()):
        q, k, v = qkv[first:last].permute(1, 2, 0, 3)
        out[first:last] = (logits(q, k, scale, bias).softmax(-1) @ v).transpose(0, 1)
        lse[:, first:last] = logits(q.to(wide), k.to(wide), scale, bias).logsumexp(-1)
    return out, lse
