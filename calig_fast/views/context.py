"""The attention of each word: the rows of the context maps, in few bytes for a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = 127
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of V context maps among N units, the strongest K entries of each.

    Args:
        largest: [V,N] float32, the largest magnitude of each row.
        units: [V,N,K] uint16, which units the entries are; empty where K = N, the entries being in order.
        levels: [V,N,K] int8, entry / largest * 127.
    """

    largest: NDArray[np.float32]
    units: NDArray[np.uint16]
    levels: NDArray[np.int8]

    @property
    def kept(self) -> int:
        """K."""
        return int(self.levels.shape[2])

    @property
    def count(self) -> int:
        """N."""
        return int(self.levels.shape[1])

    def encoded(self) -> str:
        """The three arrays one after the other, little-endian, in base64."""
        parts = (self.largest.astype("<f4"), self.units.astype("<u2"), self.levels)
        return base64.b64encode(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).decode("ascii")


def rows(maps: Tensor, members: tuple[tuple[int, ...], ...], budget: int) -> Rows:
    """The context maps [L,T,U] between units: first their mean over the layers, then each layer's.

    A unit of several tokens has the mean of their rows, and the sum of their columns, as its score is their sum.

    Args:
        maps: [L,T,U] float32, M_l of one input.
        members: the tokens of each of the N units.
        budget: bytes the rows should stay below; at least 8 entries of each row are kept all the same.
    """
    count, views = len(members), len(maps) + 1
    whole = views * count * count <= budget
    width = count if whole else min(count, max(FEWEST, budget // (3 * views * count)))
    total = torch.zeros(count, count)
    strongest_entries: list[tuple[Tensor, Tensor, Tensor]] = []
    for layer in maps:
        plane = _between(layer.cpu().float(), members)
        total += plane
        strongest_entries.append(_strongest(plane, width, whole))
    strongest_entries.insert(0, _strongest(total / max(len(maps), 1), width, whole))
    largest, units, levels = (torch.stack(parts).numpy() for parts in zip(*strongest_entries, strict=True))
    return Rows(largest, units[..., : 0 if whole else width].astype(np.uint16), levels)


def _between(plane: Tensor, members: tuple[tuple[int, ...], ...]) -> Tensor:
    """A token map [T,U] as one between units [N,N]."""
    unit = torch.tensor([n for n, tokens in enumerate(members) for _ in tokens], dtype=torch.int64)
    token = torch.tensor([t for tokens in members for t in tokens], dtype=torch.int64)
    sizes = torch.tensor([max(len(tokens), 1) for tokens in members])
    across = torch.zeros(len(members), plane.shape[1]).index_add_(0, unit, plane[token]) / sizes[:, None]
    return torch.zeros(len(members), len(members)).index_add_(1, unit, across[:, token])


def _strongest(plane: Tensor, kept: int, whole: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Largest magnitude [N], columns [N,K] and levels [N,K] of the rows of a map [N,N]."""
    plane = torch.nan_to_num(plane)
    size = plane.abs()
    largest = size.amax(1) if plane.numel() else size.new_zeros(len(plane))
    units = torch.arange(len(plane)).expand(len(plane), -1) if whole else size.topk(kept, 1).indices
    levels = plane.gather(1, units) / largest.clamp_min(torch.finfo(torch.float32).tiny)[:, None] * STEPS
    return largest, units.to(torch.int32), levels.round().to(torch.int8)
