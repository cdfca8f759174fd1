"""fuse_rollout in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def _scaled(x: Tensor, scale: str) -> Tensor:
    if scale == "none" or x.numel() == 0:
        return x
    magnitude = x.abs()
    denominator = magnitude.sum() if scale == "sum" else magnitude.amax()
    if scale == "max_t":
        denominator = denominator * x.numel()
    return torch.where(denominator == 0, 0.0, x / denominator)


def fuse_rollout(
    relevance: Tensor,
    attention: Tensor,
    offsets: Tensor,
    row: Tensor,
    identity: Tensor,
    lam: float,
    residual: float = 1.0,
    relevance_scale: str = "max_t",
    attention_scale: str = "sum",
    normalise: bool = True,
) -> tuple[Tensor, Tensor]:
    """Form the context map of one input at a time, then one vector-matrix product."""
    rows, identities = torch.empty_like(row), torch.empty_like(identity)
    length = offsets.diff()
    maps = torch.split(attention, (length * length).tolist())
    for begin, n, flat in zip(offsets.tolist(), length.tolist(), maps, strict=False):
        here = slice(begin, begin + n)
        a = attention.new_zeros((n, n)) if lam == 1 else (_scaled(flat, attention_scale) * (1 - lam)).view(n, n)
        if lam != 0:
            a += lam * _scaled(relevance[here], relevance_scale)
        a.diagonal().add_(residual)
        z = a.abs().sum(1) if normalise else torch.ones_like(row[here])
        factor = torch.where(z == 0, 0.0, 1 / z)
        rows[here] = (row[here] * factor) @ a
        identities[here] = identity[here] * residual * factor
    return rows, identities
