"""Equally spaced rules of many paths: their answers, and errors by the difference to the rule of half the intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .._utils.host_copies import uploaded
from .estimate import Bools, Floats, Ints, Sizes, measured, over, rule_error
from .rules import corrected_trapezoid
from .values import Values, stretch

# A path counts as rough when e1 decreases less than this as the intervals double to m.
ROUGH = {8: 0.5, 16: 0.35, 32: 0.35}
# A path that needs so many intervals is not smooth, and e1^2 is too small there: it is judged by e1 and its decrease.
LARGEST_UNIFORM = 64
SMOOTH = 0.35  # between a quarter, what halving leaves of a smooth path's second differences, and a half, of a jump's


class Uniform:
    """The equally spaced rules that paths are at.

    Args:
        intervals: m of each path, [P].
        strength: b of each path's change of variable, [P].
        kinked: the integrands may jump, as the gradient of a ReLU does.
        ends: numbers of the values at a = 0 and a = 1, [2,P].
    """

    def __init__(self, intervals: Ints, strength: Floats, kinked: bool, ends: Ints) -> None:
        self.intervals, self.strength, self._kinked = intervals, strength, kinked
        self._before, self._last = (np.full(len(intervals), np.nan) for _ in range(2))
        self._numbers = np.zeros((len(intervals), int(intervals.max(initial=1)) + 1), dtype=np.int64)
        self._numbers[:, 0] = ends[0]
        self._numbers[np.arange(len(intervals)), intervals] = ends[1]

    def inner(self, first: int) -> tuple[Ints, Floats]:
        """The nodes between the ends: (path, u), each [n]; their values will be numbered from `first` on."""
        places = np.arange(self._numbers.shape[1])
        path, place = np.nonzero((places > 0) & (places < self.intervals[:, None]))
        self._numbers[path, place] = first + np.arange(len(path))
        return path, place / self.intervals[path]

    def double(self, paths: Ints, first: int) -> tuple[Ints, Floats]:
        """Twice the intervals for some paths: the new nodes (path, u), as `inner`."""
        widest = 2 * int(self.intervals[paths].max(initial=0)) + 1
        if (more := widest - self._numbers.shape[1]) > 0:
            self._numbers = np.pad(self._numbers, ((0, 0), (0, more)))
        path, at = [paths[:0]], [self.strength[:0]]
        for m in np.unique(self.intervals[paths]):
            group = paths[self.intervals[paths] == m]
            new = first + np.arange(len(group) * m).reshape(len(group), m)
            first += new.size
            old = self._numbers[group, : m + 1]
            self._numbers[group[:, None], np.arange(0, 2 * m + 1, 2)] = old
            self._numbers[group[:, None], np.arange(1, 2 * m, 2)] = new
            path.append(np.repeat(group, m))
            at.append(np.tile(np.arange(1, 2 * m, 2) / (2 * m), len(group)))
        self.intervals[paths] *= 2
        return np.concatenate(path), np.concatenate(at)

    def numbers(self, path: int) -> Ints:
        """Numbers of the values of one path, in the order of its nodes."""
        value_numbers: Ints = self._numbers[path, : self.intervals[path] + 1]
        return value_numbers

    def groups(self, paths: Ints) -> list[tuple[int, Ints]]:
        """The paths by their number of intervals."""
        return [(int(m), paths[self.intervals[paths] == m]) for m in np.unique(self.intervals[paths])]

    def table(self, m: int, paths: Ints, values: Values) -> Tensor:
        """phi at the nodes of paths of m intervals, [g,m+1,T]."""
        return values.at(self._numbers[paths, : m + 1])

    def answers(self, m: int, paths: Ints, values: Values) -> tuple[Tensor, Tensor, Tensor]:
        """The answers of paths of m intervals and the coarser ones [g,T], and the columns that `judge` takes [c,g]."""
        table = self.table(m, paths, values)
        if self.strength[paths].any():
            factors = stretch(np.arange(m + 1) / m, self.strength[paths][:, None])
            table *= uploaded(torch.from_numpy(factors)[..., None], table.device)
        r, coarse, coarser = (_weights(m, table.device) @ table).unbind(1)
        columns = [*measured(r, coarse), coarse.norm(dim=-1), (coarse - coarser).norm(dim=-1)]
        if self._kinked:
            fine, rough = _bends(table), _bends(table[:, ::2])
            columns += [fine.sum(1) / m, rough.sum(1) / (m // 2 or 1), _jumps(fine) / m]
        return r, coarse, torch.stack(columns)

    def judge(self, paths: Ints, columns: Floats) -> tuple[Sizes, Floats]:
        """The sizes and the rules' relative errors [n], from the columns [c,n] of paths in the order of `groups`."""
        sizes, m = Sizes.of(columns), self.intervals[paths]
        coarse_norm, coarser_difference = columns[5:7]
        e1 = np.where(m == 1, 1.0, over(sizes.difference, sizes.norm))  # the endpoints have no coarser rule
        fresh = np.isnan(self._last[paths]) & (m % 4 == 0)
        last = np.where(fresh, over(coarser_difference, coarse_norm), self._last[paths])
        rule = rule_error(e1, m)
        falls = (m >= LARGEST_UNIFORM) & (last > 0)
        by_fall = np.divide(e1 * e1, last, out=np.zeros_like(e1), where=falls)
        rule = np.where(falls, np.minimum(e1, np.maximum(rule, by_fall)), rule)
        self._before[paths], self._last[paths] = last, e1
        if self._kinked:
            fine, rough, jumps = columns[7:10]
            jumped = (m % 2 == 0) & (fine > SMOOTH * rough)
            rule = np.where(jumped, np.maximum(rule, over(jumps, sizes.norm)), rule)
        return sizes, rule

    def is_rough(self, paths: Ints) -> Bools:
        """[n], True where the differences fall too slowly for a smooth path, or too many intervals were needed."""
        m = self.intervals[paths]
        limit = np.full(len(paths), np.inf)
        for least, ratio in sorted(ROUGH.items()):
            limit[m >= least] = ratio
        with np.errstate(invalid="ignore"):
            slow = self._last[paths] > limit * self._before[paths]
        rough: Bools = (m % 4 == 0) & ((m >= LARGEST_UNIFORM) | slow)
        return rough


@lru_cache(maxsize=64)
def _weights(m: int, device: torch.device) -> Tensor:
    """The rules of m, m / 2 and m / 4 intervals on a table of m + 1 nodes, [3,m+1]; zeros where there is none."""
    weights = torch.zeros(3, m + 1, dtype=torch.float64)
    weights[0] = corrected_trapezoid(m)
    if m % 2 == 0:
        weights[1, ::2] = corrected_trapezoid(m // 2)
    elif m > 1:
        weights[1, [0, -1]] = 0.5
    if m % 4 == 0:
        weights[2, ::4] = corrected_trapezoid(m // 4)
    return uploaded(weights, device)


def _bends(table: Tensor) -> Tensor:
    """Norms [g,m-1] of the second differences of tables [g,m+1,T].

    Their mean falls to a quarter as smooth intervals are halved, and to a half over a jump.
    """
    norms: Tensor = (table[:, :-2] - 2 * table[:, 1:-1] + table[:, 2:]).norm(dim=2)
    return norms


def _jumps(bends: Tensor) -> Tensor:
    """The error that jumps make, over the width of an interval, [g].

    A jump J makes at most J / 2 of it, and second differences of J at both ends of its interval. Jumps add up as
    independent ones. An interval at the end of the path has one second difference, which counts twice.
    """
    squares = bends.square()
    return ((squares.sum(1) + squares[:, 0] + squares[:, -1]) / 8).sqrt() if bends.shape[1] else bends.sum(1)
