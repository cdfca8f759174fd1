"""Rough paths cut into panels: five nodes each, two rules, and the panels with the largest difference halved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._utils.host_copies import uploaded
from .estimate import Bools, Floats, Ints, Sizes, measured, over
from .values import Values, stretch

PANEL_SAFETY = 2.0  # the rules differ by Simpson's error; Boole's is less of it the smoother the panel is
HELD = 0.9  # share of the difference that the panels halved at a time hold
# Boole's rule and Simpson's on five nodes
RULES = torch.tensor([[7.0, 32.0, 12.0, 32.0, 7.0], [7.5, 30.0, 15.0, 30.0, 7.5]], dtype=torch.float64) / 90
QUARTERS = np.arange(5) / 4
UNRESOLVED = 0.75  # fourth over second differences of a panel: 1 to 3 at a jump, little where it is smooth


@dataclass
class _Cut:
    """The panels of one path, from a = 0 on.

    Args:
        numbers: of the values at their nodes, [J,5].
        low: their left ends u, [J].
        width: their widths, [J].
        spread: estimated error of each, [J]; None where its nodes were not evaluated.
    """

    numbers: Ints
    low: Floats
    width: Floats
    spread: Floats | None = None


class Panels:
    """The panels of the paths that are rough.

    Args:
        strength: b of each path's change of variable, [P].
    """

    def __init__(self, strength: Floats) -> None:
        self._strength, self._cuts = strength, dict[int, _Cut]()

    def of(self, paths: Ints) -> Bools:
        """[n], True for paths that were cut."""
        return np.array([path in self._cuts for path in paths.tolist()], dtype=np.bool_)

    def cut(self, path: int, numbers: Ints) -> None:
        """Cut a path of m intervals, m a multiple of 4, into panels of four; `numbers` [m+1] of its values."""
        starts = np.arange(0, len(numbers) - 1, 4)
        m = len(numbers) - 1
        self._cuts[path] = _Cut(numbers[starts[:, None] + np.arange(5)], starts / m, np.full(len(starts), 4 / m))

    def nodes(self, path: int) -> tuple[Floats, Ints]:
        """The nodes u of a path in increasing order, and the numbers of their values."""
        cut = self._cuts[path]
        u = cut.low[:, None] + cut.width[:, None] * QUARTERS
        return np.append(u[:, :-1].ravel(), 1.0), np.append(cut.numbers[:, :-1].ravel(), cut.numbers[-1, -1])

    def answers(self, paths: Ints, values: Values) -> tuple[Tensor, Tensor, Tensor]:
        """Both rules' answers [n,T], and the columns that `judge` takes [5+2J,n]."""
        cuts = [self._cuts[p] for p in paths]
        longest = max(len(cut.low) for cut in cuts)
        numbers = np.zeros((len(cuts), longest, 5), dtype=np.int64)
        weights = np.zeros((len(cuts), longest, 5))
        for i, (path, cut) in enumerate(zip(paths, cuts, strict=True)):
            numbers[i, : len(cut.low)] = cut.numbers
            u = cut.low[:, None] + cut.width[:, None] * QUARTERS
            weights[i, : len(cut.low)] = cut.width[:, None] * stretch(u, self._strength[path])
        table = values.at(numbers)
        table *= uploaded(torch.from_numpy(weights)[..., None], table.device)
        fine, rough = torch.einsum("qs,njst->qnjt", uploaded(RULES, table.device), table)
        r, coarse = fine.sum(1), rough.sum(1)
        apart = (fine - rough).norm(dim=2)
        return r, coarse, torch.cat([torch.stack(measured(r, coarse)), apart.T, _unresolved(table).T])

    def judge(self, paths: Ints, columns: Floats) -> tuple[Sizes, Floats]:
        """The sizes and the rules' relative errors [n], from the columns of `answers`."""
        sizes, (apart, unresolved) = Sizes.of(columns), np.split(columns[5:], 2)
        apart = PANEL_SAFETY * apart
        for i, path in enumerate(paths):
            cut = self._cuts[path]
            cut.spread = np.maximum(apart, unresolved)[: len(cut.low), i]
        return sizes, over(apart.sum(0) + np.sqrt(np.square(unresolved).sum(0)), sizes.norm)

    def bisect(self, path: int, left: int, first: int) -> Floats:
        """Halve the panels with the largest differences, four new nodes each.

        Args:
            path: the path.
            left: evaluations that it may still take.
            first: the number of the first new value.

        Returns:
            the new nodes u, in the order of their numbers; none where too few are left.
        """
        cut = self._cuts[path]
        if cut.spread is None:
            raise RuntimeError("panels are halved before their nodes were evaluated")
        # the fewest panels that hold nine tenths of the difference, as many as the budget allows
        order = np.argsort(-cut.spread, kind="stable")
        held = np.cumsum(cut.spread[order])
        wanted = ~(held - cut.spread[order] >= HELD * held[-1])
        wanted[0] = True
        chosen = order[: left // 4][wanted[: left // 4]]
        if not len(chosen):
            return cut.low[:0]
        halved = np.zeros(len(cut.low), dtype=bool)
        halved[chosen] = True
        parts = 1 + halved.astype(np.int64)
        second = np.concatenate([np.arange(n) for n in parts]).astype(bool)
        low, width = np.repeat(cut.low, parts), np.repeat(cut.width / parts, parts)
        low = np.where(second, low + width, low)
        numbers = np.repeat(cut.numbers, parts, axis=0)
        is_half = np.repeat(halved, parts)
        rows = numbers[is_half].reshape(-1, 2, 5)  # the same five nodes twice
        new = first + np.arange(4 * len(rows)).reshape(-1, 2, 2)
        rows[:, 0, [0, 2, 4]], rows[:, 1, [0, 2, 4]] = rows[:, 0, :3].copy(), rows[:, 1, 2:].copy()
        rows[:, :, [1, 3]] = new
        numbers[is_half] = rows.reshape(-1, 5)
        nodes: Floats = (low[:, None] + width[:, None] * QUARTERS)[is_half][:, [1, 3]].ravel()
        self._cuts[path] = _Cut(numbers, low, width)
        return nodes


def _unresolved(table: Tensor) -> Tensor:
    """The error of each panel that its nodes do not resolve [n,J], 0 in others, from the weighted values [n,J,5,T].

    A jump J makes at most 0.73 J / 4 of it in an inner interval and 0.69 J / 4 in an outer one. The second differences
    are J at both ends of an inner interval, and at the one inner end of an outer one. Their own second difference is
    as large as they are, or larger; where they are smooth it is small.
    """
    bends = table[:, :, :-2] - 2 * table[:, :, 1:-1] + table[:, :, 2:]
    sizes = bends.norm(dim=3)
    fourth = (bends[:, :, 0] - 2 * bends[:, :, 1] + bends[:, :, 2]).norm(dim=2)
    return torch.where(fourth > UNRESOLVED * sizes.amax(2), (sizes.square().sum(2) / 2).sqrt() / 4, 0.0)
