"""Scores as a ranking of removable tokens: special tokens, prefix tokens and padding are excluded."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .._utils.arguments import as_tensor, number, scalar, shown
from ..results.attribution import Attribution


def table(scores: Any, name: str = "scores") -> Tensor:
    """Scores [B,T] as float64 on the CPU.

    Args:
        scores: an Attribution, or a tensor (array, nested lists) of numbers.
        name: of the argument, for messages.

    Raises:
        TypeError: neither.
        ValueError: another shape, NaN or infinity.
    """
    given = scores.scores if isinstance(scores, Attribution) else scores
    token_scores = as_tensor(name, given, "an Attribution or a tensor [B,T]").detach().double().cpu()
    if token_scores.dim() != 2:
        raise ValueError(f"{name}: expected [B,T], one score a token, got {list(token_scores.shape)}")
    if not bool(torch.isfinite(token_scores).all()):
        raise ValueError(f"{name}: they hold NaN or infinity, which cannot be ranked")
    return token_scores


def flags(given: Any, shape: torch.Size, name: str) -> Tensor:
    """A [B,T] bool tensor on the CPU.

    Raises:
        ValueError: another shape.
        TypeError: no bools.
    """
    marks = as_tensor(name, given, f"bools {list(shape)}").cpu() != 0
    if marks.shape != shape:
        raise ValueError(f"{name}: expected {list(shape)}, one for each score, got {list(marks.shape)}")
    return marks


def content(scores: Any, mask: Any, shape: torch.Size) -> Tensor:
    """[B,T] bool, the ranked tokens: `mask` if given, else an Attribution's real tokens without special ones, or all.

    Raises:
        ValueError: a mask of another shape.
    """
    if mask is not None:
        return flags(mask, shape, "mask")
    if isinstance(scores, Attribution):
        return (scores.mask & ~scores.special).cpu()
    return torch.ones(shape, dtype=torch.bool)


def places(scores: Tensor, ranked: Tensor) -> Tensor:
    """[B,T] int64, the place of each token when the largest score comes first; equal scores in reading order.

    What is not ranked comes last.
    """
    filled = torch.where(ranked, scores, -torch.inf)
    order = torch.sort(filled, dim=1, descending=True, stable=True).indices
    order = order.gather(1, torch.sort(~ranked.gather(1, order), dim=1, stable=True).indices)
    return order.argsort(1)


def counts(fractions: Tensor, ranked: Tensor) -> Tensor:
    """[B,K] int64, the number of tokens of a fraction: rounded half up, at least one unless it is zero."""
    n = ranked.sum(1)[:, None]
    rounded = (fractions * n + 0.5 + 1e-9).floor().long()
    return torch.where(fractions > 0, rounded.clamp_min(1), 0).minimum(n)


def fractions_of(given: Sequence[float] | Tensor, rising: bool = False) -> Tensor:
    """The fractions [K] as float64.

    Args:
        given: shares between 0 and 1.
        rising: True for the axis of a curve, which takes two or more in increasing order.

    Raises:
        ValueError: none, one outside 0 to 1, or an axis that does not increase.
        TypeError: no numbers.
    """
    shares = as_tensor("fractions", given, "shares between 0 and 1").detach().double().cpu().reshape(-1)
    if not len(shares) or not bool(((shares >= 0) & (shares <= 1)).all()):
        raise ValueError(f"fractions: expected shares between 0 and 1, got {shares.tolist()}")
    if rising and (len(shares) < 2 or not bool((shares.diff() > 0).all())):
        raise ValueError(f"fractions: an area needs two or more in rising order, got {shares.tolist()}")
    return shares


def size(k: int | float, ranked: Tensor) -> Tensor:
    """[B] int64, the number of ranked tokens that k selects: k itself, or a share of them for a float; at most all.

    Raises:
        ValueError: k that is not positive, or a share above 1.
        TypeError: no number.
    """
    item = scalar(k)
    whole = isinstance(item, Integral)
    amount = number("k", item, "how many as an int, at least 1, or a share between 0 and 1 as a float")
    if amount <= 0 or (not whole and amount > 1):
        raise ValueError(f"k: expected at least 1, or a share between 0 and 1 as a float, got {shown(k)}")
    if not whole:
        return counts(torch.tensor([amount], dtype=torch.float64), ranked)[:, 0]
    return ranked.sum(1).clamp_max(int(min(amount, ranked.shape[1])))
