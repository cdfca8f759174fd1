"""Batches without padding: where the real tokens lie, and which rows belong to which segment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

from .._utils.host_copies import fetched, sent, uploaded


@dataclass(frozen=True)
class Run:
    """Segments of one length, side by side.

    Args:
        start: first row.
        count: segments n.
        tokens: rows of each, T.
    """

    start: int
    count: int
    tokens: int

    @property
    def stop(self) -> int:
        """One past the last row."""
        return self.start + self.count * self.tokens


@dataclass(frozen=True)
class Segments:
    """Row ranges of the segments: the rows of each segment follow the rows of the one before.

    Args:
        offsets: [S+1] int64, segment s has the rows offsets[s] .. offsets[s+1]; on the device of the rows. Where they
            are padded [2S+1]: after the rows of each segment, those of its padding, a segment of their own.
        lengths: rows of each, the same on the host, so that nothing need be asked of the device; with the padding.
        padded: each segment has as many rows with its padding.
    """

    offsets: Tensor
    lengths: tuple[int, ...]
    padded: bool = False

    @property
    def firsts(self) -> Tensor:
        """[S] the first row of each segment."""
        return self.offsets[:-1:2] if self.padded else self.offsets[:-1]

    def padding(self) -> Tensor:
        """[S,T] bool, the rows of padding, of segments that are padded."""
        real = self.offsets.diff()[::2]
        return torch.arange(self.longest, device=real.device) >= real[:, None]

    @cached_property
    def rows(self) -> int:
        """R, rows of all segments."""
        return sum(self.lengths)

    @cached_property
    def longest(self) -> int:
        """Rows of the longest segment."""
        return max(self.lengths, default=0)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The segments in order, segments of one length side by side in one run."""
        out: list[Run] = []
        for tokens, alike in groupby(self.lengths):
            out.append(Run(out[-1].stop if out else 0, len(list(alike)), tokens))
        return tuple(out)

    @cached_property
    def places(self) -> Tensor:
        """[R] int64, the place of each row in its segment."""
        rows = torch.arange(self.rows, device=self.offsets.device)
        if self.padded:
            return rows % self.longest
        return rows - torch.repeat_interleave(self.firsts, self.offsets.diff(), output_size=self.rows)

    def until(self, count: int) -> Segments:
        """The first `count` segments."""
        if count == len(self.lengths):
            return self
        stop = 2 * count + 1 if self.padded else count + 1
        return Segments(self.offsets[:stop], self.lengths[:count], self.padded)


@dataclass(frozen=True)
class Packed:
    """The real tokens of a batch [B,T], one after another.

    Args:
        positions: [tokens] int64 into the flattened [B,T].
        segments: the tokens of each input.
        shape: (B, T).
    """

    positions: Tensor
    segments: Segments
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor) -> Packed:
        """The real tokens of a mask [B,T] bool; waits for its device once, where the host does not know the mask."""
        (host,) = fetched(mask)
        lengths = host.sum(1)
        offsets = uploaded(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), mask.device)
        positions = sent(host.flatten().nonzero().flatten(), mask.device)
        return cls(positions, Segments(offsets, tuple(lengths.tolist())), (mask.shape[0], mask.shape[1]))

    @property
    def offsets(self) -> Tensor:
        """[B+1] int64, the first token of each input."""
        return self.segments.offsets

    @property
    def lengths(self) -> tuple[int, ...]:
        """Real tokens of each input."""
        return self.segments.lengths

    @property
    def full(self) -> bool:
        """Return True where nothing is padded: rows lie as in [B,T]."""
        return self.segments.rows == self.shape[0] * self.shape[1]

    def pack(self, values: Tensor) -> Tensor:
        """[B,T,...] to [tokens,...]."""
        return values.flatten(0, 1) if self.full else values.flatten(0, 1)[self.positions]

    def unpack(self, values: Tensor) -> Tensor:
        """[tokens,...] to [B,T,...], zeros at padding."""
        if self.full:
            return values.view(*self.shape, *values.shape[1:])
        return self.spread(values, self.positions, self.shape[0])

    def twice(self) -> Packed:
        """The batch with a second one of the same mask after it."""
        rows = self.shape[0] * self.shape[1]
        return Packed(
            torch.cat([self.positions, self.positions + rows]),
            Segments(torch.cat([self.offsets, self.offsets[1:] + self.offsets[-1]]), self.lengths * 2),
            (2 * self.shape[0], self.shape[1]),
        )

    def places(self, b: int) -> Tensor:
        """The positions of the real tokens of one input in its row of T."""
        first = sum(self.lengths[:b])
        return self.positions[first : first + self.lengths[b]] - b * self.shape[1]

    def maps(self, values: Tensor) -> Tensor:
        """[B,T,U] to [sum of T_b^2], each input's real rows and columns."""
        return values.flatten() if self.full else values.flatten()[self._pairs]

    @cached_property
    def _pairs(self) -> Tensor:
        """[sum of T_b^2] int64, the pairs of real tokens in the flattened [B,T,T]."""
        real = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.bool)
        real[fetched(self.positions)[0]] = True
        real = real.view(self.shape)
        return uploaded((real[:, :, None] & real[:, None]).flatten().nonzero().flatten(), self.positions.device)

    def where(self, inputs: Tensor, segments: Segments) -> Tensor:
        """The places of some inputs' rows in [S,T], flattened.

        Args:
            inputs: [S] int64, the input that each segment is of; the same may come again.
            segments: their rows.

        Returns:
            [rows] int64, computed where `inputs` lie.
        """
        rows = torch.arange(segments.rows, device=inputs.device)
        s = torch.searchsorted(segments.offsets[1:], rows, right=True)
        b = inputs[s]
        return self.positions[rows - segments.offsets[s] + self.offsets[b]] + (s - b) * self.shape[1]

    def spread(self, values: Tensor, where: Tensor, count: int) -> Tensor:
        """Rows of segments [rows,...] to [count,T,...], each at its place `where`, zeros elsewhere."""
        out = values.new_zeros(count * self.shape[1], *values.shape[1:])
        out[where] = values
        return out.view(count, self.shape[1], *values.shape[1:])
