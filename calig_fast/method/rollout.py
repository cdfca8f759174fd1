"""The rollout: the readout row carried down through the maps of all layers, a vector at a time.

s = w Abar_{L-1} ... Abar_0 with w the readout row; what reaches a readout token along the identity parts alone says
nothing of the input and is taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from .. import ops
from .fusion import Fusion


@dataclass(frozen=True)
class Packed:
    """A batch without padding.

    Args:
        positions: [tokens] int64 into the flattened [B,T], which token of the batch each one is.
        offsets: [B+1] int64.
        shape: (B, T).
    """

    positions: Tensor
    offsets: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor) -> Packed:
        """The real tokens of a mask [B,T]."""
        lengths = mask.sum(1)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return cls(mask.flatten().nonzero().flatten(), offsets, (mask.shape[0], mask.shape[1]))

    def tokens(self, values: Tensor) -> Tensor:
        """[B,T] to [tokens]."""
        return values.reshape(-1)[self.positions]

    def maps(self, values: Tensor) -> Tensor:
        """[B,T,U] to [sum of T_b^2], each input's real rows and columns."""
        t, bounds = self.shape[1], self.offsets.tolist()
        parts = []
        for b, (low, high) in enumerate(pairwise(bounds)):
            local = self.positions[low:high] - b * t
            parts.append(values[b][local][:, local].reshape(-1))
        return torch.cat(parts) if parts else values.new_zeros(0)

    def unpack(self, values: Tensor) -> Tensor:
        """[tokens] to [B,T], zeros at padding."""
        out = values.new_zeros(self.shape[0] * self.shape[1])
        out[self.positions] = values
        return out.view(self.shape)


def rollout(
    relevance: Tensor,
    maps: Tensor,
    mask: Tensor,
    readout: Tensor,
    fusion: Fusion,
    backend: str,
    keep_identity: bool = False,
) -> tuple[Tensor, Tensor]:
    """Fuse and roll out.

    Args:
        relevance: r_l [B,L,T] float64.
        maps: G_l [B,L,T,U].
        mask: [B,T] bool, real tokens.
        readout: [B,T] weights of the rows the head reads, summing to 1.
        fusion: the options.
        backend: backend of `fuse_rollout`.
        keep_identity: leave in what reaches a readout token along the identity parts alone.

    Returns:
        scores [B,T], and the running row below each layer [B,L,T] (so its first is `scores`).
    """
    if fusion.sign == "split":
        one = replace(fusion, sign="positive")
        up, rows_up = rollout(relevance, maps, mask, readout, one, backend)
        down, rows_down = rollout(-relevance, -maps, mask, readout, one, backend)
        return up - down, rows_up - rows_down
    if fusion.sign == "positive":
        relevance, maps = relevance.clamp_min(0), maps.clamp_min(0)
    packed = Packed.of(mask)
    row = packed.tokens(readout.double())
    identity = torch.ones_like(row)
    start, rows = row, []
    for layer in reversed(range(relevance.shape[1])):
        row, identity = ops.fuse_rollout(
            packed.tokens(relevance[:, layer].double()),
            packed.maps(maps[:, layer].double()),
            packed.offsets,
            row,
            identity,
            fusion.lam,
            residual=fusion.residual,
            relevance_scale=fusion.relevance_scale,
            attention_scale=fusion.attention_scale,
            normalise=fusion.normalise,
            backend=backend,
        )
        rows.append(packed.unpack(row if keep_identity else row - start * identity))
    rows.reverse()
    stacked = torch.stack(rows, 1)
    return stacked[:, 0], stacked
