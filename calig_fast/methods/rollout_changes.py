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
    # [N,B,T]: the row of the unchanged rollout, then those of changed ones, from the last layer on
    rows, identities = start[None], torch.ones_like(start)[None]
    step = max(1, HELD // max(1, count * batch * tokens * tokens))
    for stop in range(layers, 0, -step):
        here = slice(max(0, stop - step), stop)
        formed, factors = _context(every[:, :, here], maps[:, here], mask, fusion)
        for layer in reversed(range(formed.shape[2])):
            a, kept = formed[:, :, layer], factors[:, :, layer]
            changed = (rows[0, None, :, None] @ a[1:]).squeeze(2)
            changed_identities = identities[0] * kept[1:]
            rows = torch.cat([(rows.transpose(0, 1) @ a[0]).transpose(0, 1), changed])
            identities = torch.cat([identities * kept[0], changed_identities])
    scores = (rows - start * identities)[1:]
    return scores.view(layers, count - 1, batch, tokens).flip(0).transpose(0, 1)


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
