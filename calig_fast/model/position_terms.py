"""The terms that the positions of tokens add to the logits of an attention, beside the products of queries and keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Places = Callable[[int], Tensor]


@dataclass(frozen=True)
class PairWeights:
    """A weight of each pair of positions, as in T5, MPNet and BEiT: z[h,t,u] += w[h, places[t,u]].

    Args:
        weights: w [H,P].
        places: from the number of tokens T to [T,T] int64 on the CPU; raises a ValueError for a number that the model
            does not take.
    """

    weights: Tensor
    places: Places


@dataclass(frozen=True)
class RelativeTerms:
    """Keys and queries of distances, as in DeBERTa: z[h,t,u] += scale (<q[t], a[h,r]> + <k[u], b[h,r]>).

    Args:
        tables: a and b, [2,H,P,E].
        places: from the number of tokens T to [2T-1] int64 on the CPU, r of the distances t - u from 1 - T to T - 1.
    """

    tables: Tensor
    places: Places


@dataclass(frozen=True)
class Slopes:
    """A slope of each head over distances, as in Bloom and MPT: z[h,t,u] -= m[h] |t - u|.

    Args:
        slopes: m [H]; numbers, which no dtype rounds.
    """

    slopes: tuple[float, ...]

    def places(self, tokens: int) -> Tensor:
        """Distances [T,T] int64 on the CPU, from the number of tokens T."""
        where = torch.arange(tokens)
        return (where - where[:, None]).abs()


PositionTerms = PairWeights | RelativeTerms | Slopes
