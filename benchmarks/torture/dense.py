"""The truth of a path: an adaptive Clenshaw-Curtis rule in float64 that knows its own error.

It shares neither nodes nor estimate with the rules that are judged. Its values also interpolate the integrand at any
node, so that other rules can be tried on a recorded path without the model.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

ORDER = 16  # intervals of a panel's rule
GOAL = 3e-6  # relative error asked for
MOST = 3000  # values of one path
NARROWEST = 2.0**-40
Values = Callable[[list[float]], Tensor]


def _weights(n: int) -> Tensor:
    """Clenshaw-Curtis weights [n+1] on [0, 1] of the nodes (1 - cos(pi k / n)) / 2, n even."""
    k = torch.arange(n + 1, dtype=torch.float64)
    j = torch.arange(1, n // 2 + 1, dtype=torch.float64)
    b = torch.where(j == n // 2, 1.0, 2.0)
    w = 1 - (b / (4 * j * j - 1) * torch.cos(2 * math.pi * k[:, None] * j / n)).sum(1)
    ends = torch.where((k == 0) | (k == n), 1.0, 2.0)
    return w * ends / n / 2


UNIT = (1 - torch.cos(math.pi * torch.arange(ORDER + 1, dtype=torch.float64) / ORDER)) / 2
RULES = {n: _weights(n) for n in (ORDER // 4, ORDER // 2, ORDER)}
SIGNS = torch.tensor([(-1.0) ** k * (0.5 if k in {0, ORDER} else 1.0) for k in range(ORDER + 1)], dtype=torch.float64)
# the last two Chebyshev coefficients of a panel's values: they tell how far its polynomial is from the integrand
_HALVED = torch.tensor([0.5 if k in {0, ORDER} else 1.0 for k in range(ORDER + 1)], dtype=torch.float64)
TAIL = torch.stack(
    [
        2 / ORDER * _HALVED * torch.cos(math.pi * j * torch.arange(ORDER + 1, dtype=torch.float64) / ORDER) * half
        for j, half in ((ORDER - 1, 1.0), (ORDER, 0.5))
    ]
)


@dataclass(frozen=True)
class Panel:
    """The values of the integrand on one part of the path.

    Args:
        low: its first node.
        high: its last.
        rows: [17,T] float64 at its Chebyshev nodes.
    """

    low: float
    high: float
    rows: Tensor = field(repr=False)

    @property
    def integral(self) -> Tensor:
        """[T], the integral over the panel."""
        return (self.high - self.low) * (RULES[ORDER] @ self.rows)

    @property
    def error(self) -> float:
        """Estimated error of the integral: the rules' differences as they decrease, and the polynomial's tail."""
        width = self.high - self.low
        fine, half, quarter = (RULES[n] @ self.rows[:: ORDER // n] for n in (ORDER, ORDER // 2, ORDER // 4))
        near, far = float((fine - half).norm()), float((half - quarter).norm())
        decrease = near * min(1.0, near / far) if far else near
        return 2 * width * max(decrease, float((TAIL @ self.rows).norm(dim=1).sum()) / ORDER)

    def at(self, a: float) -> Tensor:
        """phi at a node of the panel [T], by its polynomial in barycentric form."""
        distance = (a - self.low) / (self.high - self.low) - UNIT
        nearest = int(distance.abs().argmin())
        if abs(float(distance[nearest])) < 1e-14:
            return self.rows[nearest]
        weights = SIGNS / distance
        return (weights / weights.sum()) @ self.rows


class Dense:
    """The integral of a path by panels, bisected until their errors add up to less than `goal` of the whole.

    Args:
        goal: relative error asked for.
        most: the most values to take.
    """

    def __init__(self, goal: float = GOAL, most: int = MOST) -> None:
        self._goal, self._most = goal, most
        self._rows: dict[float, Tensor] = {}
        self._open: list[tuple[float, float]] = [(0.0, 0.5), (0.5, 1.0)]
        self.panels: list[Panel] = []

    def pending(self) -> list[float]:
        """The next nodes to evaluate; empty when the integral is known."""
        wanted = dict.fromkeys(a for panel in self._open for a in _nodes(*panel))
        return [a for a in wanted if a not in self._rows]

    def add(self, nodes: list[float], rows: Tensor) -> None:
        """Take values of phi, [n,T] float64."""
        self._rows.update(zip(nodes, rows.double(), strict=True))
        if self.pending():
            return
        self.panels += [Panel(*p, torch.stack([self._rows[a] for a in _nodes(*p)])) for p in self._open]
        self._open = self._split()

    def _split(self) -> list[tuple[float, float]]:
        """Bisect the panels with nine tenths of the error; nothing when it is small enough, or too much was taken."""
        errors = [panel.error for panel in self.panels]
        total = sum(errors)
        room = (self._most - len(self._rows)) // (2 * ORDER)
        if total <= self._goal * float(self.r.norm()):
            return []
        order = sorted(range(len(errors)), key=errors.__getitem__, reverse=True)
        taken: list[int] = []
        held = 0.0
        for i in order:
            if len(taken) >= room or held >= 0.9 * total:
                break
            if self.panels[i].high - self.panels[i].low > NARROWEST:
                taken.append(i)
                held += errors[i]
        halves = [
            half
            for i in taken
            for middle in [(self.panels[i].low + self.panels[i].high) / 2]
            for half in ((self.panels[i].low, middle), (middle, self.panels[i].high))
        ]
        self.panels = [panel for i, panel in enumerate(self.panels) if i not in set(taken)]
        return halves

    @property
    def r(self) -> Tensor:
        """[T] float64, the integral."""
        return torch.stack([panel.integral for panel in self.panels]).sum(0)

    @property
    def error(self) -> float:
        """Estimated relative error of `r`."""
        size = float(self.r.norm())
        missed = sum(panel.error for panel in self.panels)
        return missed / size if size else float(missed > 0)

    @property
    def count(self) -> int:
        """Values taken."""
        return len(self._rows)


def _nodes(low: float, high: float) -> list[float]:
    """The 17 nodes of a panel; its ends exactly, so that neighbours share them."""
    inner = (low + (high - low) * UNIT[1:-1]).tolist()
    return [low, *inner, high]


def integrate(values: Values, goal: float = GOAL, most: int = MOST) -> Dense:
    """The integral of a function of a list of nodes that returns [n,T]."""
    path = Dense(goal, most)
    while nodes := path.pending():
        path.add(nodes, values(nodes))
    return path


class Interpolant:
    """phi at any node of a recorded path.

    Args:
        edges: [P,2] float64, the ends of the panels, in order.
        rows: [P,17,T] float64.
    """

    def __init__(self, edges: Tensor, rows: Tensor) -> None:
        self._panels = [Panel(low, high, values) for (low, high), values in zip(edges.tolist(), rows, strict=True)]
        self._lows = [panel.low for panel in self._panels]

    def __call__(self, nodes: Sequence[float]) -> Tensor:
        """[n,T] float64."""
        return torch.stack([self._panels[max(0, bisect_right(self._lows, a) - 1)].at(a) for a in nodes])
