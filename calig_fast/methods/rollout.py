"""The rollout: the readout row carried down through the maps of all layers, a vector at a time.

s = w Abar_{L-1} ... Abar_0 - w (.) e, with w the readout row and e[t] the product of the identity parts of row t. The
identity parts alone bring e[t] to row t whatever the input, so they are no part of its score.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .. import ops
from ..ops.packing import Packed
from .fusion import Fusion


def rollout(
    relevance: Tensor,
    maps: Tensor,
    mask: Tensor,
    readout: Tensor,
    fusion: Fusion,
    *,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Fuse and roll out.

    Args:
        relevance: r_l [B,L,T] float64.
        maps: G_l [B,L,T,U].
        mask: [B,T] bool, real tokens.
        readout: [B,T] weights of the rows the head reads, summing to 1.
        fusion: the options.
        backend: backend of `fuse_rollout`.

    Returns:
        scores [B,T], and the running row below each layer [B,L,T] (so its first is `scores`).
    """
    if fusion.sign == "split":
        one = replace(fusion, sign="positive")
        up, rows_up = rollout(relevance, maps, mask, readout, one, backend=backend)
        down, rows_down = rollout(-relevance, -maps, mask, readout, one, backend=backend)
        return up - down, rows_up - rows_down
    if fusion.sign == "positive":
        relevance, maps = relevance.clamp_min(0), maps.clamp_min(0)
    packed = Packed.of(mask)
    start = packed.pack(readout.double())
    rows, identities = ops.fuse_layers(
        packed.pack(relevance.double().transpose(1, 2)).T.flip(0),
        (packed.maps(attention).double() for attention in reversed(maps.unbind(1))),
        packed.offsets,
        (start, torch.ones_like(start)),
        (fusion.lam, fusion.residual, fusion.relevance_scale, fusion.attention_scale, fusion.normalise),
        backend=backend,
    )
    running = torch.stack(rows[::-1], 1) - start[:, None] * torch.stack(identities[::-1], 1)
    stacked = packed.unpack(running).transpose(1, 2)
    return stacked[:, 0], stacked
