"""The evaluations of the integrands of many paths, in the order in which they came."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._utils.host_copies import uploaded
from .estimate import Floats, Ints


class Wanted(NamedTuple):
    """Evaluations that paths wait for.

    Args:
        path: [n] which path.
        node: [n] float64, a of each.
    """

    path: Ints
    node: Floats

    def __bool__(self) -> bool:
        return len(self.path) > 0


class Values:
    """Values of phi, one row an evaluation, found again by their number.

    Args:
        first: [n,T] float64, the first rows.
    """

    def __init__(self, first: Tensor) -> None:
        self._rows, self.count = first, len(first)

    def append(self, rows: Tensor) -> None:
        """Take more rows, [n,T]."""
        stop = self.count + len(rows)
        if stop > len(self._rows):  # room for as many again, so that a row is copied once on average
            grown = self._rows.new_empty(max(stop, 2 * len(self._rows)), self._rows.shape[1])
            grown[: self.count] = self._rows[: self.count]
            self._rows = grown
        self._rows[self.count : stop] = rows
        self.count = stop

    def at(self, numbers: Ints) -> Tensor:
        """The rows of some numbers, [*numbers,T]."""
        index = uploaded(torch.from_numpy(numbers), self._rows.device)
        rows: Tensor = self._rows[index.flatten()].view(*numbers.shape, self._rows.shape[1])
        return rows


def warp(u: Floats, strength: Floats | float) -> Floats:
    """The change of variable a = u + b sin(2 pi u) / (2 pi)."""
    bent = u + strength * np.sin(2 * math.pi * u) / (2 * math.pi)
    return np.where((u == 0) | (u == 1), u, bent)


def stretch(u: Floats, strength: Floats | float) -> Floats:
    """da/du of `warp`."""
    slope: Floats = 1 + strength * np.cos(2 * math.pi * u)
    return slope
