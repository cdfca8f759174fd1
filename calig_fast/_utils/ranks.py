"""Spearman's rank correlation."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's rho: the correlation of the ranks, equal values sharing the mean of theirs.

    Args:
        x: [n] numbers.
        y: [n] numbers.

    Returns:
        -1 to 1; nan where one of the two does not vary.
    """
    a, b = (r - r.mean() for r in (_ranks(x), _ranks(y)))
    return float((a @ b) / (a.norm() * b.norm()))


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 1 for the smallest."""
    _, group, sizes = torch.unique(x, return_inverse=True, return_counts=True)
    ranks: Tensor = (sizes.cumsum(0) - (sizes - 1) / 2).double()[group]
    return ranks
