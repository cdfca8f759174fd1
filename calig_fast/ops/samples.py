"""Sample problems: the layouts and numbers that the operations' cases are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One call of an operation: a readable name, and the arguments."""

    name: str
    args: tuple[Any, ...]


def layouts() -> list[tuple[str, Tensor, Tensor]]:
    """(name, offsets, inputs): one token, odd lengths, segments out of order, inputs without tokens or segments."""
    named = {
        "one token": ([0, 1], [0]),
        "one input": ([0, 17], [0, 0, 0, 0, 0]),
        "ragged": ([0, 3, 36, 37], [2, 0, 1, 1, 0, 1]),
        "no tokens in the middle": ([0, 5, 5, 14], [0, 1, 2, 2, 1]),
        "no segment for an input": ([0, 4, 13], [1, 1]),
        "no segments": ([0, 6], []),
        "no inputs": ([0], []),
    }
    return [(n, torch.tensor(o), torch.tensor(i, dtype=torch.int64)) for n, (o, i) in named.items()]


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Normal numbers of mixed scale, about one in ten of them zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = x * (torch.rand(shape, generator=generator) > 0.1) * torch.rand(shape, generator=generator).mul(4).exp()
    return x.to(dtype)


def strided(x: Tensor) -> Tensor:
    """The same values, not contiguous: every second element of a wider tensor."""
    wide = x.new_zeros((*x.shape, 2))
    wide[..., 1] = x
    return wide[..., 1]


@dataclass(frozen=True)
class Layout:
    """Segments and sizes of one large problem.

    Args:
        lengths: tokens of each input.
        segments: the input that each segment is of.
        width: columns.
        heads: heads, and columns of each.
    """

    lengths: tuple[int, ...] = (190, 1, 333)
    segments: tuple[int, ...] = (0, 2, 1, 2, 0, 2)
    width: int = 257
    heads: tuple[int, int] = (2, 40)

    @property
    def offsets(self) -> Tensor:
        """[B+1] int64, the first token of each input."""
        return torch.tensor([0, *self.lengths]).cumsum(0)

    @property
    def inputs(self) -> Tensor:
        """[S] int64, the input of each segment."""
        return torch.tensor(self.segments)

    @property
    def tokens(self) -> int:
        """Tokens of all inputs."""
        return sum(self.lengths)

    @property
    def rows(self) -> int:
        """Rows of all segments."""
        return sum(self.lengths[b] for b in self.segments)

    @property
    def where(self) -> tuple[Tensor, int, float]:
        """Offsets, tokens of the longest input, and a scale: the last arguments of an attention."""
        return self.offsets, max(self.lengths), 0.2
