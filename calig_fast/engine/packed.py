"""Batches without padding: where the real tokens lie, and which rows belong to which segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .attend import Run


@dataclass(frozen=True)
class Packed:
    """The real tokens of a batch [B,T], one after another.

    Args:
        positions: [tokens] int64 into the flattened [B,T].
        offsets: [B+1] int64, on the device of the hidden states.
        lengths: real tokens of each input.
        shape: (B, T).
    """

    positions: Tensor
    offsets: Tensor
    lengths: tuple[int, ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor) -> Packed:
        """The real tokens of a mask [B,T] bool."""
        lengths = mask.sum(1)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        positions = mask.flatten().nonzero().flatten()
        return cls(positions, offsets, tuple(lengths.tolist()), (mask.shape[0], mask.shape[1]))

    def pack(self, values: Tensor) -> Tensor:
        """[B,T,...] to [tokens,...]."""
        return values.flatten(0, 1)[self.positions]

    def unpack(self, values: Tensor) -> Tensor:
        """[tokens,...] to [B,T,...], zeros at padding."""
        out = values.new_zeros(self.shape[0] * self.shape[1], *values.shape[1:])
        out[self.positions] = values
        return out.view(*self.shape, *values.shape[1:])

    def twice(self) -> Packed:
        """The batch with a second one of the same mask after it."""
        rows = self.shape[0] * self.shape[1]
        return Packed(
            torch.cat([self.positions, self.positions + rows]),
            torch.cat([self.offsets, self.offsets[1:] + self.offsets[-1]]),
            self.lengths * 2,
            (2 * self.shape[0], self.shape[1]),
        )

    def runs(self, inputs: Sequence[int]) -> tuple[Run, ...]:
        """Segments of these inputs, one after another, those of one length side by side in one run."""
        out: list[Run] = []
        for b in inputs:
            tokens = self.lengths[b]
            if out and out[-1].tokens == tokens:
                out[-1] = Run(out[-1].start, out[-1].count + 1, tokens)
            else:
                out.append(Run(out[-1].stop if out else 0, 1, tokens))
        return tuple(out)

    def firsts(self, inputs: Sequence[int]) -> Tensor:
        """[S] the first row of each segment."""
        starts = [0]
        for b in inputs:
            starts.append(starts[-1] + self.lengths[b])
        return torch.tensor(starts[:-1], device=self.positions.device)

    def places(self, b: int) -> Tensor:
        """Where the real tokens of one input stand in its row of T."""
        bounds = self.offsets[b : b + 2].tolist()
        return self.positions[bounds[0] : bounds[1]] - b * self.shape[1]

    def maps(self, values: Tensor) -> Tensor:
        """[B,T,U] to [sum of T_b^2], each input's real rows and columns."""
        parts = [values[b][places][:, places].flatten() for b in range(self.shape[0]) for places in (self.places(b),)]
        return torch.cat(parts) if parts else values.new_zeros(0)

    def scatter(self, inputs: Sequence[int], values: Tensor) -> Tensor:
        """Rows of segments [rows,...] to [S,T,...], each at its input's own places, zeros elsewhere."""
        where = torch.cat([s * self.shape[1] + self.places(b) for s, b in enumerate(inputs)])
        out = values.new_zeros(len(inputs) * self.shape[1], *values.shape[1:])
        out[where] = values
        return out.view(len(inputs), self.shape[1], *values.shape[1:])
