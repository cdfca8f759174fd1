"""Pairs of tokens that an error of the scores leaves undecided between the k largest and the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .attribution import Attribution


def undecided(a: Attribution, index: int, k: int) -> tuple[tuple[int, int], ...]:
    """The pairs of one input whose order the error of its scores may exchange; (t, t) where it may turn a sign.

    Args:
        a: with a `score_error`.
        index: of the input.
        k: how many of the largest magnitudes are looked at.

    Returns:
        (token among the k largest, token that is not), by position.
    """
    scores = a.scores[index].double()
    content = (a.mask[index] & ~a.special[index]).nonzero().flatten().tolist()
    magnitude = scores.abs().tolist()
    ranked = sorted(content, key=lambda t: -magnitude[t])
    size = float(a.score_error[index]) * float(torch.linalg.vector_norm(scores))
    signs = [(t, t) for t in ranked[:k] if not magnitude[t] > size]
    pairs = [(t, u) for t in ranked[:k] for u in ranked[k:] if not magnitude[t] - magnitude[u] > math.sqrt(2) * size]
    return (*signs, *pairs)
