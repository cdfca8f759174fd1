"""The places of positions in a model's tables: distances between tokens in buckets, pairs of patches in a window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..position_terms import PairWeights


@dataclass(frozen=True)
class LogBuckets:
    """DeBERTa's rows of distances t - u: exact up to half of the buckets, then by their logarithms.

    Args:
        span: rows of either direction; larger distances have the last row.
        size: buckets of either direction, 0 where every distance has its own row.
        most: distance of the last bucket.
    """

    span: int
    size: int = 0
    most: int = 0

    def __call__(self, tokens: int) -> Tensor:
        """[2T-1] int64, from the number of tokens T."""
        return _log_buckets(self, tokens)


@lru_cache(maxsize=16)
def _log_buckets(kind: LogBuckets, tokens: int) -> Tensor:
    distance = torch.arange(1 - tokens, tokens)
    if kind.size > 0 and kind.most > 0:
        middle, size = kind.size // 2, distance.abs()
        # in the models' own order and precision, or a logarithm near a whole number would be rounded to another one
        far = torch.where(size < middle, torch.tensor(middle - 1), size).float() / middle
        step = torch.log(torch.tensor((kind.most - 1) / middle, dtype=torch.float32))
        bucket = torch.ceil(torch.log(far) / step * (middle - 1)) + middle
        distance = torch.where(size <= middle, distance, (bucket * distance.sign()).long())
    return (distance + kind.span).clamp(0, 2 * kind.span - 1)


@dataclass(frozen=True)
class T5Buckets:
    """T5's columns of pairs: half of the buckets for keys after the query, exact near it, then by logarithms.

    Args:
        count: of all buckets.
        most: distance of the last.
    """

    count: int
    most: int

    def __call__(self, tokens: int) -> Tensor:
        """[T,T] int64, from the number of tokens T."""
        return _t5_buckets(self, tokens)


@lru_cache(maxsize=16)
def _t5_buckets(kind: T5Buckets, tokens: int) -> Tensor:
    half, places = kind.count // 2, torch.arange(tokens)
    after = places - places[:, None]
    size, exact = after.abs(), half // 2
    far = torch.log(size.float() / exact) / math.log(kind.most / exact) * (half - exact)
    far = (exact + far.clamp_min(0).long()).clamp_max(half - 1)
    return torch.where(size < exact, size, far) + (after > 0) * half


@dataclass(frozen=True, eq=False)
class Window:
    """The columns of pairs of places in a picture of one size.

    Args:
        index: [T,T] int64.
    """

    index: Tensor

    def __call__(self, tokens: int) -> Tensor:
        """The index.

        Raises:
            ValueError: another number of tokens.
        """
        if tokens != len(self.index):
            raise ValueError(
                f"its attention has weights of {len(self.index)} places, and the picture has {tokens} tokens; give it "
                "the size that it was made for"
            )
        return self.index


def pair_weights(*modules: Any) -> PairWeights | None:
    """The weights of pairs of patches, the sum of some modules' tables; None where there is no table.

    Args:
        *modules: with a table [P,H] of pairs in a window, each its own or that of all blocks, or None.
    """
    tables = [module for module in modules if module is not None]
    if not tables:
        return None
    first, *others = tables
    weights: Tensor = first.relative_position_bias_table
    for module in others:
        weights = weights + module.relative_position_bias_table
    index = getattr(first, "relative_position_index", None)
    if index is None:
        index = first.generate_relative_position_index(first.window_size)
    return PairWeights(weights.T, Window(index.cpu()))


def alibi(heads: int) -> tuple[float, ...]:
    """ALiBi's slopes as BLOOM computes them: 2^(-8 i / H) of head i, and between them beyond a power of 2."""
    whole = 2 ** int(math.log2(heads))
    base, between = (2.0 ** -(2.0 ** -(math.log2(n) - 3)) for n in (whole, 2 * whole))
    first = torch.pow(torch.tensor(base, dtype=torch.float32), torch.arange(1, 1 + whole))
    rest = torch.pow(torch.tensor(between, dtype=torch.float32), torch.arange(1, 1 + 2 * (heads - whole), 2))
    return tuple(torch.cat([first, rest]).tolist())


def mpt_slopes(heads: int) -> tuple[float, ...]:
    """ALiBi's slopes as MPT computes them: those of the next power of 2 heads, every other one first."""
    whole = 2 ** math.ceil(math.log2(heads))
    slopes = 1.0 / torch.pow(2, torch.arange(1, whole + 1).float() * (8 / whole))
    return tuple((slopes if whole == heads else torch.cat([slopes[1::2], slopes[::2]])[:heads]).tolist())
