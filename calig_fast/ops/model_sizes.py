"""Random arguments of the sizes that models have."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

WIDTH, POINTS, HEADS = 768, 8, 12  # of BERT base; path points of each input
OFFSETS, INPUTS = torch.tensor([0, 3, 3, 8]), torch.tensor([2, 0, 2])  # few rows, of cases wider than the sample cases
HIDDEN, TOKENS, NODES = 384, 128, 8  # of MiniLM; few rows, as the emulator is slow


def normal(dtype: torch.dtype, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape).to(dtype)


@dataclass(frozen=True)
class Batch:
    """Inputs of a model of BERT base's sizes, and their random numbers.

    Args:
        lengths: tokens of each input.
        dtype: of the data.
    """

    lengths: list[int]
    dtype: torch.dtype
    _generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def draw(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self._generator).to(self.dtype)

    def nodes(self) -> Tensor:
        """[S] float32, a node or weight of each segment."""
        return torch.rand(len(self.inputs), generator=self._generator)

    @property
    def offsets(self) -> Tensor:
        """[B+1] int64, the first token of each input."""
        return torch.tensor([0, *self.lengths]).cumsum(0)

    @property
    def inputs(self) -> Tensor:
        """[S] int64, the input of each segment."""
        return torch.arange(len(self.lengths)).repeat_interleave(POINTS)

    @property
    def tokens(self) -> int:
        """Tokens of all inputs."""
        return sum(self.lengths)

    @property
    def rows(self) -> int:
        """Rows of all segments."""
        return POINTS * self.tokens

    @property
    def scale(self) -> float:
        """The scale of the attention's logits."""
        return 1 / math.sqrt(WIDTH // HEADS)

    def attention(self) -> Tensor:
        """[tokens,3,heads,columns of a head], the q, k and v of every token."""
        return self.draw(self.tokens, 3, HEADS, WIDTH // HEADS)


def products_of_maps(lengths: list[int], products: int) -> int:
    """Floating-point operations of an attention of so many products of a map."""
    return products * 2 * WIDTH * sum(n * n for n in lengths)
