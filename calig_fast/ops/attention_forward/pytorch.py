"""attention_forward in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from .spec import outside


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def distances(tokens: int, relative: Tensor) -> Tensor:
    """[T,T] int64, of a query and a key the row of relative keys and queries [2,H,2N-1,E] that their distance has."""
    places = torch.arange(tokens, device=relative.device)
    return places[:, None] - places + relative.shape[2] // 2


def logits(
    q: Tensor,
    k: Tensor,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    band: tuple[int, int] = (-1, -1),
) -> Tensor:
    """[H,T,T] of q and k [H,T,E]; of the bias [H,N,N] the first T x T are added, and the terms of their distances.

    Outside of the band, rows before and after a query, they are -inf.
    """
    q = q * scale
    z = q @ k.transpose(-1, -2)
    if relative is not None:
        keys, queries = relative.to(q.dtype)
        where = distances(q.shape[1], relative).expand(z.shape)
        z = z + (q @ keys.mT).gather(2, where) + (k @ queries.mT * scale).gather(2, where.mT).mT
    if bias is not None:
        z = (z + bias[:, : z.shape[1], : z.shape[2]]).to(z.dtype)
    if band != (-1, -1):
        z.masked_fill_(outside(z.shape[1], *band).to(z.device), -torch.inf)
    return z


def attention_forward(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> tuple[Tensor, Tensor]:
    """The definition, one segment at a time, in the dtype that came; the log-sums in float32 at least."""
    rows, _, heads, size = qkv.shape
    out = qkv.new_empty((rows, heads, size))
    band, wide = (before, after), torch.promote_types(qkv.dtype, torch.float32)
    lse = qkv.new_empty((heads, rows), dtype=wide)
    for first, last in pairwise(offsets.tolist()):
        q, k, v = qkv[first:last].permute(1, 2, 0, 3)
        out[first:last] = (logits(q, k, scale, bias, relative, band).softmax(-1) @ v).transpose(0, 1)
        lse[:, first:last] = logits(q.to(wide), k.to(wide), scale, bias, relative, band).logsumexp(-1)
    return out, lse
