"""The initial number of nodes of the adaptive rule, chosen by the paths of earlier calls."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from .adaptive import FIRST, estimate_error, relative, rule_error, warp
from .rules import corrected_trapezoid

MENU = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32)
# Over 40 articles of 128 tokens on a MiniLM, the mean intervals of the three strengths at block 0 were 13.9, 10.6 and
# 10.0; at block 2 8.0, 7.8 and 8.7; at block 4 6.0, 6.0 and 6.4.
STRENGTHS = (0.0, 0.3, 0.45)
MEMORY = 64
MOST = 64  # intervals a path is taken to need that no rule would have satisfied
A_ROUND = 0.2  # gradients that going through the blocks once more is worth


class Start(NamedTuple):
    """The start of a path.

    Args:
        intervals: of the first rule judged.
        strength: of the change of variable `warp`.
    """

    intervals: int = FIRST
    strength: float = 0.0


class Trace(NamedTuple):
    """The evaluations of a finished path.

    Args:
        layer: its block.
        nodes: a in increasing order, 0 and 1 included.
        rows: phi there, [n,T] float64.
        gap: the exact sum over its tokens.
        noise: rounding of the scalars that the gap is taken from.
        tolerance: relative error that it should have met.
    """

    layer: int
    nodes: tuple[float, ...]
    rows: Tensor
    gap: float
    noise: float
    tolerance: float


class Calibration:
    """Intervals that the paths of each layer needed at each strength of the warp, in earlier calls.

    A path starts where those would have cost the fewest gradients: m - 1 at once, and as many again and one each time
    that the intervals are doubled. A call asks before it learns, so that an input's start does not depend on the others
    of its batch.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], deque[tuple[float, ...]]] = {}

    def start(self, kind: str, layer: int) -> Start:
        """Choose the start of a path.

        Args:
            kind: the common properties of similar paths: baseline, scalar, tolerance, `certify`.
            layer: the block.
        """
        seen = self._seen.get((kind, layer), ())
        if not seen:
            return Start()

        def cost(start: Start) -> float:
            m, column = start.intervals, STRENGTHS.index(start.strength)
            doubled = [max(0, math.ceil(math.log2(min(row[column], MOST) / m))) for row in seen]
            return float(sum(m * 2**n - 1 + A_ROUND * n for n in doubled))

        return min((Start(m, strength) for strength in STRENGTHS for m in MENU), key=cost)

    def learn(self, kind: str, traces: Iterable[Trace]) -> None:
        """Store the intervals that paths needed."""
        for trace in traces:
            self._seen.setdefault((kind, trace.layer), deque(maxlen=MEMORY)).append(needs(trace))


def needs(trace: Trace) -> tuple[float, ...]:
    """The fewest intervals of `MENU` that would have met the tolerance at each of `STRENGTHS`, inf where none would.

    The integrand is a cubic spline through the path's values; rules finer than 1.5 times its nodes are not tried.
    """
    rules, weights = _rules(trace.nodes)
    found = weights @ trace.rows
    out = dict.fromkeys(STRENGTHS, math.inf)
    for (strength, m), r, coarse in zip(rules, found[::2], found[1::2], strict=True):
        e1 = relative(r - coarse, r)
        now = estimate_error(
            r,
            coarse,
            rule=rule_error(e1),
            disagreement=e1,
            nodes=m,
            gap=trace.gap,
            noise=trace.noise,
            tolerance=trace.tolerance,
        )
        if now.converged:
            out[strength] = min(out[strength], m)
    return tuple(out.values())


@lru_cache(maxsize=256)
def _rules(nodes: tuple[float, ...]) -> tuple[list[tuple[float, int]], Tensor]:
    """Rules (strength, m), and the weights [2 rules, n] on a table at `nodes` of each and of its coarser rule."""
    rules = [(strength, m) for strength in STRENGTHS for m in MENU if m <= 1.5 * (len(nodes) - 1)]
    if not rules:
        return [], torch.zeros(0, len(nodes), dtype=torch.float64)
    grids = [_grid(m, strength) for strength, m in rules]
    tables = spline(nodes, torch.cat([places for places, _ in grids])).split_with_sizes([m + 1 for _, m in rules])
    return rules, torch.cat([weights @ table for (_, weights), table in zip(grids, tables, strict=True)])


@cache
def _grid(m: int, strength: float) -> tuple[Tensor, Tensor]:
    """Nodes [m+1] of a warped rule, and the weights [2,m+1] there of it and of its coarser rule."""
    places, stretch = warp(torch.arange(m + 1, dtype=torch.float64) / m, strength)
    weights = torch.zeros(2, m + 1, dtype=torch.float64)
    weights[0], weights[1, ::2] = corrected_trapezoid(m), corrected_trapezoid(m // 2)
    return places, weights * stretch


def spline(nodes: tuple[float, ...], places: Tensor) -> Tensor:
    """Values of the natural cubic spline through a table, as weights on it.

    Args:
        nodes: n increasing numbers.
        places: [k] float64, within them.

    Returns:
        [k,n] float64.
    """
    x = torch.tensor(nodes, dtype=torch.float64)
    n, h, eye = len(nodes), x.diff(), torch.eye(len(nodes), dtype=torch.float64)
    # its second derivatives M: h_{i-1} M_{i-1} + 2 (h_{i-1} + h_i) M_i + h_i M_{i+1} = 6 (slope_i - slope_{i-1}), in
    # every row but the first and the last, where M is 0
    system, jumps = eye.clone(), torch.zeros(n, n, dtype=torch.float64)
    below, middle, above = (system[1:-1].diagonal(i) for i in range(3))
    below.copy_(h[:-1]), middle.copy_(2 * (h[:-1] + h[1:])), above.copy_(h[1:])
    slopes = eye.diff(dim=0) / h[:, None]
    jumps[1:-1] = 6 * slopes.diff(dim=0)
    bends = torch.linalg.solve(system, jumps)
    left = (torch.searchsorted(x, places, right=True) - 1).clamp(0, n - 2)
    width = h[left]
    b = (places - x[left]) / width
    a = 1 - b
    curve = (a**3 - a)[:, None] * bends[left] + (b**3 - b)[:, None] * bends[left + 1]
    out: Tensor = a[:, None] * eye[left] + b[:, None] * eye[left + 1] + curve * (width**2 / 6)[:, None]
    return out
