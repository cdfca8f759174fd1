"""Random arguments of the sizes that models have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

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
    """Inputs of a model, of BERT base's sizes where no other are given, and their random numbers.

    Args:
        lengths: tokens of each input.
        dtype: of the data.
        device: of all tensors.
        points: path points of each input.
        width: columns of a hidden state.
        heads: of the attention.
    """

    lengths: list[int]
    dtype: torch.dtype
    device: str = "cpu"
    points: int = POINTS
    width: int = WIDTH
    heads: int = HEADS

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    def draw(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self._generator, device=self.device).to(self.dtype)

    def nodes(self) -> Tensor:
        """[S] float32, a node or weight of each segment."""
        return torch.rand(len(self.inputs), generator=self._generator, device=self.device)

    @property
    def offsets(self) -> Tensor:
        """[B+1] int64, the first token of each input."""
        return torch.tensor([0, *self.lengths], device=self.device).cumsum(0)

    @property
    def inputs(self) -> Tensor:
        """[S] int64, the input of each segment."""
        return torch.arange(len(self.lengths), device=self.device).repeat_interleave(self.points)

    @property
    def tokens(self) -> int:
        """Tokens of all inputs."""
        return sum(self.lengths)

    @property
    def rows(self) -> int:
        """Rows of all segments."""
        return self.points * self.tokens

    @property
    def scale(self) -> float:
        """The scale of the attention's logits."""
        return 1 / math.sqrt(self.width // self.heads)

    def attention(self, parts: int = 3) -> Tensor:
        """[tokens,parts,heads,columns of a head], the q, k and v of every token."""
        return self.draw(self.tokens, parts, self.heads, self.width // self.heads)

    def products_of_maps(self, products: int) -> int:
        """Floating-point operations of an attention of so many products of a map."""
        return products * 2 * self.width * sum(n * n for n in self.lengths)
