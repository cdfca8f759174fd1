"""The initial number of nodes of the adaptive rule, chosen by the paths of earlier calls."""

from __future__ import annotations

from collections import deque
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from .._utils.host_copies import uploaded
from .adaptive import Start, Table
from .estimate import Floats, Ints, Sizes, judged, judged_alone, measured, over, rule_error
from .rules import corrected_trapezoid
from .values import stretch, warp

MENU = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32)
# Steep paths, as at the first blocks of a text, take a quarter fewer nodes with a change of variable; flat ones take
# more.
STRENGTHS = (0.0, 0.3, 0.45)
MEMORY = 64
MOST = 64  # intervals a path is taken to need that no rule would have satisfied
A_GRADIENT = 5  # times the cost of going through the blocks once more


class Calibration:
    """Intervals that the paths of each layer needed at each strength of the warp, in earlier calls.

    A path starts where those would have cost the fewest gradients: m - 1 at once, and as many again and one each time
    that the intervals are doubled. A call asks before it learns, so that an input's start does not depend on the others
    of its batch.
    """

    def __init__(self) -> None:
        self._costs: dict[tuple[str, int], deque[Ints]] = {}  # of each path [strengths,menu]
        self._sums: dict[tuple[str, int], Ints] = {}

    def start(self, kind: str, layer: int) -> Start:
        """Choose the start of a path.

        Args:
            kind: the common properties of similar paths: baseline, scalar, tolerance, `certify`.
            layer: the block.
        """
        costs = self._sums.get((kind, layer))
        if costs is None:
            return Start()
        strength, m = divmod(int(costs.argmin()), len(MENU))
        return Start(MENU[m], STRENGTHS[strength])

    def learn(self, kind: str, layers: Ints, needed: Floats) -> None:
        """Store the costs of the starts for paths, from the intervals that they needed.

        Args:
            kind: see `start`.
            layers: the block of each path, [g].
            needed: from `needs`, [g,strengths].
        """
        menu = np.array(MENU)
        doubled = np.maximum(0, np.ceil(np.log2(np.minimum(needed, MOST)[..., None] / menu))).astype(np.int64)
        costs = A_GRADIENT * (menu * 2**doubled - 1) + doubled
        for layer, cost in zip(layers.tolist(), costs, strict=True):
            known = self._costs.setdefault((kind, layer), deque())
            known.append(cost)
            oldest = known.popleft() if len(known) > MEMORY else np.zeros_like(cost)
            self._sums[kind, layer] = self._sums.get((kind, layer), 0) + cost - oldest


def trials(table: Table) -> Tensor:
    """The columns [5,g,rules] of the answers that rules of `MENU` would have given, which `needs` judges.

    The integrand is a cubic spline through the path's values; rules finer than 1.5 times its nodes are not tried.

    Args:
        table: the evaluations of some paths.
    """
    rules, weights = _rules(table.nodes)
    if not rules:
        return table.rows.new_zeros(5, len(table.rows), 0)
    answers = (uploaded(weights, table.rows.device) @ table.rows).view(len(table.rows), len(rules), 2, -1)
    return torch.stack(measured(answers[:, :, 0], answers[:, :, 1]))


def needs(table: Table, columns: Floats, gap: Floats | None, noise: Floats, tolerance: Floats) -> Floats:
    """The fewest intervals of `MENU` that would have met the tolerance at each of `STRENGTHS`, inf where none would.

    Args:
        table: the evaluations of some paths.
        columns: from `trials`.
        gap: the exact sum over the tokens of each, [g]; None where there is none.
        noise: rounding of the scalars that the gap is taken from, [g].
        tolerance: relative error that each should have met, [g].

    Returns:
        [g,strengths].
    """
    rules, _ = _rules(table.nodes)
    out = np.full((len(table.paths), len(STRENGTHS)), np.inf)
    if not rules:
        return out
    sizes = Sizes.of(columns)
    rule = rule_error(over(sizes.difference, sizes.norm), np.array([m for _, m in rules]))
    if gap is None:
        errors = judged_alone(sizes, rule, np.zeros_like(rule)).error
    else:
        errors = judged(sizes, rule, gap[:, None], noise[:, None]).error
    for (strength, m), met in zip(rules, (errors <= tolerance[:, None]).T, strict=True):
        column = out[:, STRENGTHS.index(strength)]
        column[met] = np.minimum(column[met], m)
    return out


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
    u = np.arange(m + 1) / m
    weights = torch.zeros(2, m + 1, dtype=torch.float64)
    weights[0], weights[1, ::2] = corrected_trapezoid(m), corrected_trapezoid(m // 2)
    return torch.from_numpy(warp(u, strength)), weights * torch.from_numpy(stretch(u, strength))


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
