"""Integrals of many paths to a tolerance: which nodes each takes next, and the errors of their answers.

A smooth path is integrated by a nested corrected trapezoid: doubling the intervals reuses every node. With
e1 = |R_m - R_{m/2}| / |R_m| the finer rule's error is about max(e1^2, e1 / 7), see `rule_error`. The completeness
error is added, which detects errors that both rules share. Where e1 does not decrease as the intervals
double, the path is not smooth. It is cut into panels, and panels with two different rules' results are bisected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .._utils.ends import ENDS
from .._utils.host_copies import fetched, uploaded
from .estimate import Bools, Floats, Ints, Judgement, Sizes, judged, judged_alone
from .panels import Panels
from .uniform import Uniform
from .values import Values, Wanted, warp

FIRST = 4  # intervals of the first rule that has an estimate
# A gap that rounding explains: a random BERT base at 128 tokens misses 0.16 of it in bfloat16, 20 eps, at 5 nodes as at
# 113, and stood there at 1424 gradients where float32 takes 120.
MAGNIFIED = 64
UNMOVED = 0.5  # what twice the nodes leave of a gap that more nodes would close is far less
A_BISECTION = 8  # evaluations that halving panels takes, about


class Start(NamedTuple):
    """The start of a path.

    Args:
        intervals: of the first rule judged.
        strength: b of the change of variable a = u + b sin(2 pi u) / (2 pi), which puts more nodes in the middle of the
            path, where steep paths change most; 0 for none.
    """

    intervals: int = FIRST
    strength: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The state of the integrals of P paths.

    Args:
        r: [P,T] float64, the integrals.
        coarse: [P,T] float64, the coarser answers that they are judged by.
        errors: of each.
        nodes: evaluations used, endpoints included, [P].
        ends: why each is not refined any more, numbers of `ENDS`, [P].
    """

    r: Tensor
    coarse: Tensor
    errors: Judgement
    nodes: Ints
    ends: Ints


@dataclass(frozen=True, kw_only=True)
class Table:
    """The evaluations of paths that were evaluated at the same nodes.

    Args:
        paths: which, [g].
        nodes: a in increasing order, 0 and 1 included.
        rows: phi there, [g,n,T] float64.
    """

    paths: Ints
    nodes: tuple[float, ...]
    rows: Tensor


@dataclass(frozen=True, kw_only=True)
class Paths:
    """P integrals over [0, 1], and their known properties.

    Args:
        ends: phi at a = 0 and at a = 1, [2,P,T] float64.
        gap: the exact sum of each integral over the tokens, F(x) - F(x'), [P].
        noise: rounding of the scalars that the gap is taken from, [P].
        eps: relative rounding of the values; 0 where there is none.
        kinked: the integrands may jump, as the gradient of a ReLU does.
        complete: the integrals sum to `gap`; where they need not, their errors are judged by the rules alone.
    """

    ends: Tensor
    gap: Floats
    noise: Floats
    eps: float = 0.0
    kinked: bool = False
    complete: bool = True

    def judged(self, sizes: Sizes, rule: Floats, paths: Any = slice(None)) -> Judgement:
        """The errors of some of the paths; see `estimate.judged`."""
        gap, noise = self.gap[paths], self.noise[paths]
        return judged(sizes, rule, gap, noise) if self.complete else judged_alone(sizes, rule, gap)


class Integrals(Protocol):
    """Integrals that are made of evaluations, round by round."""

    def pending(self) -> Wanted:
        """The next evaluations; none when all paths are done."""

    def add(self, rows: Tensor) -> None:
        """Take the values of phi at all pending nodes, in their order, [n,T] float64."""

    def refine(self, which: Bools) -> Bools:
        """Request finer nodes of some paths at any tolerance; True where there are such, [P]."""

    def stop(self) -> bool:
        """Leave the pending nodes out, for lack of memory; False where there is no answer without them."""

    @property
    def more(self) -> Ints:
        """Evaluations that refining takes, as far as is known beforehand, [P]."""

    @property
    def estimates(self) -> Estimates:
        """The answers so far."""


class AdaptiveIntegrals:
    """The adaptive integrals of P paths.

    Args:
        paths: their ends and known properties.
        starts: how each begins, P of them.
        tolerance: relative error asked for, one for all paths or [P].
        budget: largest number of intervals; at 1 only the endpoints are used.
        defer: evaluate the first rule and wait for `refine`, at any tolerance.
    """

    def __init__(
        self, paths: Paths, starts: Sequence[Start], *, tolerance: float | Floats, budget: int, defer: bool = False
    ) -> None:
        count = len(paths.gap)
        self._paths, self._tolerance, self._budget, self._defer = paths, tolerance, budget, defer
        self._values = Values(paths.ends.flatten(0, 1))
        self._strength = np.array([s.strength for s in starts], dtype=np.float64)
        intervals = np.minimum(np.array([s.intervals for s in starts], dtype=np.int64), budget)
        self._uniform = Uniform(intervals, self._strength, paths.kinked, np.arange(2 * count).reshape(2, count))
        self._panels = Panels(self._strength)
        self._nodes = np.full(count, 2, dtype=np.int64)
        self._r, self._coarse = torch.zeros_like(paths.ends[0]), torch.zeros_like(paths.ends[0])
        self._columns = np.zeros((6, count))
        self._coarse_total = np.zeros(count)
        self._stopped, self._judged = np.zeros(count, dtype=bool), False
        self._path, self._u = self._uniform.inner(self._values.count)
        if not len(self._path):
            self._judge(np.arange(count))

    def pending(self) -> Wanted:
        """The next evaluations; none when all paths are done."""
        return Wanted(self._path, warp(self._u, self._strength[self._path]))

    def add(self, rows: Tensor) -> None:
        """Take the values of phi at all pending nodes, in their order, [n,T] float64."""
        if len(rows) != len(self._path):
            raise ValueError(f"rows: expected the {len(self._path)} pending evaluations, got {len(rows)}")
        self._values.append(rows)
        which, counts = np.unique(self._path, return_counts=True)
        self._nodes[which] += counts
        self._path, self._u = self._path[:0], self._u[:0]
        self._judge(which)
        if not self._defer:
            self._request(which[~self.converged[which]])

    def refine(self, which: Bools) -> Bools:
        """Request finer nodes of some paths at any tolerance; True where there are such, [P]."""
        before = len(self._path)
        self._request(np.flatnonzero(which))
        requested = np.zeros(len(which), dtype=bool)
        requested[self._path[before:]] = True
        return requested

    def stop(self) -> bool:
        """Leave the pending nodes out, for lack of memory; False where there is no answer without them."""
        if not self._judged:
            return False
        self._stopped[self._path] = True
        self._path, self._u = self._path[:0], self._u[:0]
        return True

    @property
    def errors(self) -> Judgement:
        """The errors of the answers so far."""
        return Judgement(
            **dict(zip(("error", "rule", "disagreement", "delta", "unbalanced", "missing"), self._columns, strict=True))
        )

    @property
    def estimates(self) -> Estimates:
        """The answers so far."""
        return Estimates(r=self._r, coarse=self._coarse, errors=self.errors, nodes=self._nodes, ends=self._ends)

    @property
    def _ends(self) -> Ints:
        rough = self._panels.of(np.arange(len(self._nodes)))
        ends = np.where(rough, ENDS.index("spike"), ENDS.index("limit"))
        ends[self.stalled] = ENDS.index("rounding")
        ends[self._stopped] = ENDS.index("memory")
        ends[~np.isfinite(self.errors.error)] = ENDS.index("nonfinite")
        ends[self.converged] = 0
        return ends

    @property
    def converged(self) -> Bools:
        """[P], error within the tolerance."""
        within: Bools = self.errors.error <= self._tolerance
        return within

    @property
    def stalled(self) -> Bools:
        """[P], True where only rounding errors remain, which more nodes cannot reduce."""
        now = self.errors
        return (
            (now.rule <= self._tolerance)
            & (self._tolerance < now.error)
            & (now.unbalanced <= MAGNIFIED * self._paths.eps)
            & (np.abs(now.delta) >= UNMOVED * np.abs(self._coarse_total - self._paths.gap))
        )

    @property
    def complete(self) -> bool:
        """Return True where the integrals sum to a known gap."""
        return self._paths.complete

    @property
    def more(self) -> Ints:
        """Evaluations that refining takes, as far as is known beforehand, [P]."""
        return np.where(self._panels.of(np.arange(len(self._nodes))), A_BISECTION, self._uniform.intervals)

    def tables(self) -> Iterator[Table]:
        """The evaluations of all paths that did not stall."""
        paths = np.flatnonzero(~self.stalled)
        rough = self._panels.of(paths)
        for strength in np.unique(self._strength[paths[~rough]]):
            alike = paths[~rough & (self._strength[paths] == strength)]
            for m, group in self._uniform.groups(alike):
                nodes = tuple(warp(np.arange(m + 1) / m, strength).tolist())
                yield Table(paths=group, nodes=nodes, rows=self._uniform.table(m, group, self._values))
        for path in paths[rough]:
            u, numbers = self._panels.nodes(path)
            nodes = tuple(warp(u, self._strength[path]).tolist())
            yield Table(paths=np.array([path]), nodes=nodes, rows=self._values.at(numbers[None]))

    def _judge(self, which: Ints) -> None:
        """Judge some paths, all of whose nodes were evaluated; one transfer from the device."""
        self._judged = True
        rough = self._panels.of(which)
        groups = self._uniform.groups(which[~rough])
        made = [self._uniform.answers(m, paths, self._values) for m, paths in groups]
        order = [paths for _, paths in groups]
        if rough.any():
            made.append(self._panels.answers(which[rough], self._values))
            order.append(which[rough])
        columns = _together([of_group for _, _, of_group in made])
        for paths, (r, coarse, _) in zip(order, made, strict=True):
            self._keep(paths, r, coarse)
        for paths, of_group, is_panels in zip(order, columns, [False] * len(groups) + [True], strict=False):
            sizes, rule = (self._panels if is_panels else self._uniform).judge(paths, of_group)
            self._mark(paths, sizes, rule)

    def _keep(self, paths: Ints, r: Tensor, coarse: Tensor) -> None:
        if len(paths) == len(self._r):
            self._r, self._coarse = r, coarse
            return
        index = uploaded(torch.from_numpy(paths), r.device)
        self._r, self._coarse = self._r.index_copy(0, index, r), self._coarse.index_copy(0, index, coarse)

    def _mark(self, paths: Ints, sizes: Sizes, rule: Floats) -> None:
        judgement = self._paths.judged(sizes, rule, paths)
        self._columns[:, paths] = list(vars(judgement).values())
        self._coarse_total[paths] = sizes.coarse_total

    def _request(self, paths: Ints) -> None:
        """The next nodes of some paths; none for those that stalled, are not finite, or have used their budget."""
        paths = paths[np.isfinite(self.errors.delta[paths]) & ~self.stalled[paths] & ~self._stopped[paths]]
        rough = self._panels.of(paths)
        rough[~rough] = self._uniform.is_rough(paths[~rough])
        fresh = paths[rough]
        fresh = fresh[~self._panels.of(fresh)]
        for path in fresh:
            self._panels.cut(path, self._uniform.numbers(path))
        if len(fresh):
            self._panels.judge(fresh, _together([self._panels.answers(fresh, self._values)[2]])[0])
        left = self._budget + 1 - self._nodes
        smooth = paths[~rough]
        smooth = smooth[left[smooth] >= self._uniform.intervals[smooth]]
        first = self._values.count + len(self._path)
        path, u = self._uniform.double(smooth, first)
        parts, nodes, first = [self._path, path], [self._u, u], first + len(path)
        for one in paths[rough]:
            new = self._panels.bisect(one, int(left[one]), first)
            first += len(new)
            parts.append(np.full(len(new), one))
            nodes.append(new)
        self._path, self._u = np.concatenate(parts), np.concatenate(nodes)


def _together(columns: list[Tensor]) -> list[Floats]:
    """Tables [c,n] on the host, in one transfer."""
    flat: Floats = fetched(torch.cat([c.flatten() for c in columns]))[0].numpy()
    stops = np.cumsum([c.numel() for c in columns])[:-1]
    return [part.reshape(c.shape) for part, c in zip(np.split(flat, stops), columns, strict=True)]
