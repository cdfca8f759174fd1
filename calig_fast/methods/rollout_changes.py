"""Rollouts with the relevance of one layer replaced, all of them in one sweep down the layers.

Above the changed layer a rollout is the unchanged one, and below it only its row differs. So a sweep forms each layer's
map once, and once for each replacement, and takes all rows through it together.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .fusion import Fusion

HELD = 2**21  # entries of maps formed at a time, 16 MiB


def changed_rollouts(
    relevance: Tensor, others: Tensor, maps: Tensor, mask: Tensor, readout: Tensor, *, fusion: Fusion
) -> Tensor:
    """The scores of `rollout.rollout` with r_l replaced, one layer at a time.

    Args:
        relevance: r_l [B,L,T] float64, zeros at padding.
        others: what takes its place, [V,B,L,T], zeros at padding.
        maps: G_l [B,L,T,U], zeros at padding.
        mask: [B,T] bool, real tokens.
        readout: [B,T] weights of the rows the head reads, summing to 1.
        fusion: the options.

    Returns:
        [V,L,B,T] float64.
    """
    if fusion.sign == "split":
        one = replace(fusion, sign="positive")
        up = changed_rollouts(relevance, others, maps, mask, readout, fusion=one)
        return up - changed_rollouts(-relevance, -others, -maps, mask, readout, fusion=one)
    every = torch.cat([relevance[None], others])
    if fusion.sign == "positive":
        every, maps = every.clamp_min(0), maps.clamp_min(0)
    count, batch, layers, tokens = every.shape
    start = readout.to(every.dtype)
    # [B,N,T]: the unchanged rollout's row, then changed ones, from the last layer on
    rows, factors = start[:, None], list[Tensor]()
    step = max(1, HELD // max(1, count * batch * tokens * tokens))
    for stop in range(layers, 0, -step):
        here = slice(max(0, stop - step), stop)
        formed, factor = _context(every[:, :, here], maps[:, here], mask, fusion)
        factors.append(factor)
        replaced = formed[1:].permute(2, 1, 3, 0, 4).flatten(3)  # [L,B,T,V U]
        for whole, changed in zip(reversed(formed[0].unbind(1)), reversed(replaced.unbind()), strict=True):
            new = (rows[:, :1] @ changed).view(batch, count - 1, tokens)
            rows = torch.cat([rows @ whole, new], 1)
    changed_rows = rows[:, 1:].reshape(batch, layers, count - 1, tokens).flip(1).permute(2, 1, 0, 3)
    return changed_rows - start * _identities(torch.cat(factors[::-1], 2))


def _identities(factors: Tensor) -> Tensor:
    """The product of the identity's parts over the layers, with one layer's replaced.

    Args:
        factors: the unchanged parts, and those of each replacement, [1+V,B,L,T].

    Returns:
        [V,L,B,T].
    """
    whole = factors[0]
    ones = torch.ones_like(whole[:, :1])
    before = torch.cat([ones, whole[:, :-1]], 1).cumprod(1)
    after = torch.cat([whole[:, 1:], ones], 1).flip(1).cumprod(1).flip(1)
    products: Tensor = (before * after * factors[1:]).transpose(1, 2)
    return products


def _context(relevance: Tensor, maps: Tensor, mask: Tensor, fusion: Fusion) -> tuple[Tensor, Tensor]:
    """Row-normalised maps [V,B,L,T,U], and the identity's part of each row [V,B,L,T].

    Args:
        relevance: [V,B,L,T].
        maps: [B,L,T,U].
        mask: [B,T] bool, real tokens.
        fusion: the options.
    """
    size = relevance.abs()
    by_relevance = size.sum(3) if fusion.relevance_scale == "sum" else size.amax(3)
    if fusion.relevance_scale == "max_t":
        by_relevance = by_relevance * mask.sum(1)[:, None]
    weight = maps.abs().flatten(2)
    by_attention = weight.sum(2) if fusion.attention_scale == "sum" else weight.amax(2)
    scaled = relevance if fusion.relevance_scale == "none" else _over(relevance, by_relevance[..., None])
    attention = maps if fusion.attention_scale == "none" else _over(maps, by_attention[..., None, None])
    formed = (1 - fusion.lam) * attention.to(relevance.dtype) + fusion.lam * scaled[..., None, :]
    formed.diagonal(dim1=-2, dim2=-1).add_(fusion.residual)
    if not fusion.normalise:
        return formed, torch.full_like(relevance, fusion.residual)
    factor = _over(torch.ones_like(relevance), formed.abs().sum(-1))
    return formed.mul_(factor[..., None]), factor * fusion.residual


def _over(values: Tensor, scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 0.0, values / scale)
