"""The integral of one path to a tolerance: it requests the next nodes, and estimates the error of its result.

A smooth path is integrated by a nested corrected trapezoid: doubling the intervals reuses every node. With
e1 = |R_m - R_{m/2}| / |R_m| the finer rule's error is about max(e1^2, e1 / 15), see `rule_error`. The completeness
error is added, which detects errors that both rules share. Where e1 does not decrease as the intervals
double, the path is not smooth. It is cut into panels, and panels with two different rules' results are bisected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor

from .rules import corrected_trapezoid

FIRST = 4  # intervals of the first rule that has an estimate
# A path counts as rough when e1 decreases less than this as the intervals double to m. Over 72 paths of a MiniLM, half
# with a zero hidden state as the baseline, these limits cost smooth paths nothing and accepted no rough path too early.
ROUGH = {8: 0.5, 16: 0.35, 32: 0.35}
# A path that needs so many intervals is not smooth: over 1199 paths from a zero hidden state e1^2 was up to 13 times
# too small there, so it is judged by e1 and its decrease.
LARGEST_UNIFORM = 64
PANEL_SAFETY = 2.0  # the two panel rules' disagreement was up to 1.2 times too small on the same paths
BOOLE = torch.tensor([7.0, 32.0, 12.0, 32.0, 7.0], dtype=torch.float64) / 90
# A gap that rounding explains: a random BERT base at 128 tokens misses 0.16 of it in bfloat16, 20 eps, at 5 nodes as at
# 113, and stood there at 1424 gradients where float32 takes 120.
MAGNIFIED = 64
SMOOTH = 0.35  # between a quarter, what halving leaves of a smooth path's second differences, and a half, of a jump's
CANCELLED = 8  # a gap of fewer roundings than this is a difference that cancelled, and no measure of anything
UNMOVED = 0.5  # what twice the nodes leave of a gap that more nodes would close is far less
SIMPSON = torch.tensor([1.0, 4.0, 2.0, 4.0, 1.0], dtype=torch.float64) / 12


@dataclass(frozen=True)
class Estimate:
    """The state of a path's integral.

    Args:
        r: [T] float64, the integral.
        coarse: [T] float64, the coarser answer that `r` is judged by.
        error: estimated relative error of `r`, seldom passed.
        rule: the part of `error` that the rule itself tells.
        disagreement: |r - coarse| / |r|, the unsquared difference.
        delta: sum of r minus the gap.
        unbalanced: the part of `error` from the gap.
        missing: the completeness error over |r|, as far as rounding does not explain it.
        missing: the completeness error over |r|, as far as rounding does not explain it.
        nodes: evaluations used, endpoints included.
        converged: error within the tolerance.
    """

    r: Tensor
    coarse: Tensor
    error: float
    rule: float
    disagreement: float
    delta: float
    unbalanced: float
    missing: float
    nodes: int
    converged: bool


def estimate_error(
    r: Tensor,
    coarse: Tensor,
    *,
    rule: float,
    disagreement: float,
    nodes: int,
    gap: float,
    noise: float,
    tolerance: float,
) -> Estimate:
    """A result with its error: the rule's own estimate, and the completeness error relative to the gap.

    Up to `noise` of the completeness error can be rounding of the scalars; more nodes cannot remove it. That part is
    relative to the sum of the tokens' magnitudes, since the gap may be small by cancellation.

    Args:
        rule: relative error as the rule estimates it; the rest as in `Estimate` and `AdaptiveIntegral`.
    """
    delta = float(r.sum()) - gap
    rounding, carried, size = min(abs(delta), noise), float(r.abs().sum()), float(r.norm())
    missed, scale = abs(delta) - rounding, max(abs(gap), CANCELLED * noise)
    unbalanced = (missed / scale if scale else 0.0) + (rounding / carried if carried else 0.0)
    missing = missed / size if size else float(missed > 0)
    return Estimate(
        r=r,
        coarse=coarse,
        error=rule + unbalanced,
        rule=rule,
        disagreement=disagreement,
        delta=delta,
        unbalanced=unbalanced,
        missing=missing,
        nodes=nodes,
        converged=rule + unbalanced <= tolerance,
    )


def rule_error(e1: float) -> float:
    """The finer rule's error, from its difference e1 to the coarser one: max(e1^2, e1 / 15), where that is a gain.

    Convergence is close to geometric at first, which squares the error. In the end the corrected trapezoid is of order
    4, which leaves a sixteenth: e1^2 alone was too small at tolerances of 1e-3.
    """
    return max(e1 * e1, e1 / 15) if e1 < 1 else e1


def relative(difference: Tensor, whole: Tensor) -> float:
    """|difference| / |whole|, 0 where there is nothing."""
    size = float(whole.norm())
    return float(difference.norm()) / size if size else 0.0


def warp(u: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The change of variable a = u + b sin(2 pi u) / (2 pi), and da/du, of u [n] float64."""
    return u + strength * torch.sin(2 * math.pi * u) / (2 * math.pi), 1 + strength * torch.cos(2 * math.pi * u)


class AdaptiveIntegral:
    """The adaptive integral of phi over [0, 1].

    Args:
        tolerance: relative error asked for.
        budget: largest number of intervals; at 1 only the endpoints are used.
        gap: the exact sum of the integral over the tokens, F(x) - F(x').
        noise: rounding of the scalars that the gap is taken from.
        first: intervals of the first rule judged, an even number.
        strength: b of the change of variable a = u + b sin(2 pi u) / (2 pi), which puts more nodes in the middle of the
            path, where steep paths change most; 0 for none.
        defer: evaluate the first rule and wait for `refine`, at any tolerance.
        eps: relative rounding of the values; 0 where there is none.
        kinked: the integrand may jump, as the gradient of a ReLU does.
    """

    def __init__(
        self,
        tolerance: float,
        budget: int,
        gap: float,
        noise: float,
        *,
        first: int = FIRST,
        strength: float = 0.0,
        defer: bool = False,
        eps: float = 0.0,
        kinked: bool = False,
    ) -> None:
        self._defer, self._eps, self._kinked = defer, eps, kinked
        self._tolerance, self._budget, self.gap, self.noise = tolerance, budget, gap, noise
        self.strength = strength
        self._rows: dict[float, Tensor] = {}  # by u, times da/du
        self._asked: dict[float, float] = {}
        self._m = min(first, budget)
        self._trail: list[float] = []
        self._panels: list[tuple[Fraction, Fraction]] | None = None
        self._wanted = _grid(self._m)
        self._estimate: Estimate | None = None

    @property
    def estimate(self) -> Estimate:
        """The answer so far."""
        if self._estimate is None:
            raise RuntimeError("the path was not evaluated at its first nodes")
        return self._estimate

    @property
    def stalled(self) -> bool:
        """Return True if only rounding errors remain, which more nodes cannot reduce."""
        now = self.estimate
        coarse = abs(float(now.coarse.sum()) - self.gap)
        return (
            now.rule <= self._tolerance < now.error
            and now.unbalanced <= MAGNIFIED * self._eps
            and abs(now.delta) >= UNMOVED * coarse
        )

    @property
    def more(self) -> int:
        """Evaluations that refining takes, as far as is known beforehand."""
        return self._m if self._panels is None else 8

    @property
    def trace(self) -> tuple[tuple[float, ...], Tensor]:
        """Every node a in increasing order, and phi there [n,T]."""
        nodes = sorted(self._rows)
        factors = torch.tensor([self._stretch(u) for u in nodes], dtype=torch.float64)
        rows = torch.stack([self._rows[u] for u in nodes]) / factors[:, None]
        return tuple(self._at(u) for u in nodes), rows

    def pending(self) -> list[float]:
        """The next nodes to evaluate; empty when the path is done."""
        self._asked = {self._at(u): u for u in self._wanted if u not in self._rows}
        return list(self._asked)

    def _at(self, u: float) -> float:
        return (
            u
            if self.strength == 0 or u in {0.0, 1.0}
            else u + self.strength * math.sin(2 * math.pi * u) / (2 * math.pi)
        )

    def _stretch(self, u: float) -> float:
        return 1 + self.strength * math.cos(2 * math.pi * u)

    def add(self, nodes: list[float], rows: Tensor) -> None:
        """Take the values of phi at some of the pending nodes, [n,T] float64, and judge once all are there."""
        for a, row in zip(nodes, rows, strict=True):
            u = self._asked.get(a, a)
            self._rows[u] = row * self._stretch(u) if self.strength else row
        if self.pending():
            return
        self._estimate = self._judge_uniform() if self._panels is None else self._judge_panels()
        self._wanted = [] if self._defer or self._estimate.converged else self._next()

    def refine(self) -> bool:
        """Request finer nodes at any tolerance; return False if the budget has no more."""
        self._wanted = self._next()
        return bool(self.pending())

    def _judge_uniform(self) -> Estimate:
        table = torch.stack([self._rows[a] for a in _grid(self._m)])
        r = corrected_trapezoid(self._m) @ table
        if self._m == 1:
            coarse, e1 = torch.zeros_like(r), 1.0  # the endpoints have no coarser rule to compare with
        else:
            half = self._m // 2
            coarse = corrected_trapezoid(half) @ table[::2] if self._m % 2 == 0 else table[[0, -1]].mean(0)
            e1 = relative(r - coarse, r)
            if not self._trail and self._m % 4 == 0:
                coarser = corrected_trapezoid(self._m // 4) @ table[::4]
                self._trail.append(relative(coarse - coarser, coarse))
        rule = rule_error(e1)
        if self._m >= LARGEST_UNIFORM and self._trail and self._trail[-1] > 0:
            rule = min(e1, max(rule, e1 * e1 / self._trail[-1]))
        self._trail.append(e1)
        if self._kinked and self._m % 4 == 0:
            rule = max(rule, self._jumps(table, e1, r))
        return self._finish(r, coarse, rule, e1)

    def _jumps(self, table: Tensor, e1: float, r: Tensor) -> float:
        """Relative error of a rule that integrates over jumps; 0 where the values fall as a smooth integrand's.

        The second differences of all panels, summed without cancelling, fall to a quarter as smooth intervals are
        halved, and to a half over a jump. Over 159 paths of models with and without kinks, this bound left no error
        above 1.6 times a tolerance of 1e-1 to 1e-2; without it two rules agreed by chance, and were 9 times off.
        """
        size = float(r.norm())
        fine, rough = (_second_differences(rows) for rows in (table, table[::2]))
        if not size or fine <= SMOOTH * rough:
            return 0.0
        return max(e1 / 3, fine / size / 10)

    def _judge_panels(self) -> Estimate:
        r = coarse = torch.zeros_like(next(iter(self._rows.values())))
        spread = 0.0
        for low, high in self._panels or []:
            fine, rough = self._panel(low, high)
            r, coarse = r + fine, coarse + rough
            spread += float((fine - rough).norm())
        size = float(r.norm())
        rule = PANEL_SAFETY * spread / size if size else 0.0
        return self._finish(r, coarse, rule, relative(r - coarse, r))

    def _panel(self, low: Fraction, high: Fraction) -> tuple[Tensor, Tensor]:
        table = torch.stack([self._rows[a] for a in _quarters(low, high)])
        width = float(high - low)
        return width * (BOOLE @ table), width * (SIMPSON @ table)

    def _finish(self, r: Tensor, coarse: Tensor, rule: float, disagreement: float) -> Estimate:
        return estimate_error(
            r,
            coarse,
            rule=rule,
            disagreement=disagreement,
            nodes=len(self._rows),
            gap=self.gap,
            noise=self.noise,
            tolerance=self._tolerance,
        )

    def _next(self) -> list[float]:
        if self.stalled:
            return []
        left = self._budget + 1 - len(self._rows)
        if self._panels is None:
            if self._m % 4 == 0 and (self._m >= LARGEST_UNIFORM or self._is_rough()):
                cuts = [Fraction(4 * i, self._m) for i in range(self._m // 4 + 1)]
                self._panels = list(pairwise(cuts))
                return self._bisect(left)
            if left < self._m:
                return []
            self._m *= 2
            return _grid(self._m)
        return self._bisect(left)

    def _is_rough(self) -> bool:
        limit = next((ratio for m, ratio in sorted(ROUGH.items(), reverse=True) if m <= self._m), None)
        return limit is not None and len(self._trail) > 1 and self._trail[-1] > limit * self._trail[-2]

    def _bisect(self, left: int) -> list[float]:
        """Halve the panels with the largest errors, four new nodes each."""
        panels = self._panels or []
        spread = [float((f - c).norm()) for f, c in (self._panel(*p) for p in panels)]
        order = sorted(range(len(panels)), key=spread.__getitem__, reverse=True)
        # refine what the error sits in: the fewest panels that hold nine tenths of it, as many as the budget allows
        total, held = sum(spread), 0.0
        taken: set[int] = set()
        for i in order[: left // 4]:
            if held >= 0.9 * total and taken:
                break
            taken.add(i)
            held += spread[i]
        if not taken:
            return []
        halves = []
        for i, (low, high) in enumerate(panels):
            middle = (low + high) / 2
            halves += [(low, middle), (middle, high)] if i in taken else [(low, high)]
        self._panels = halves
        return sorted({a for panel in halves for a in _quarters(*panel)})


def _second_differences(table: Tensor) -> float:
    """Mean norm over the intervals of a table [m+1,T] of its second differences, panel by panel."""
    return float((table[:-2:2] - 2 * table[1:-1:2] + table[2::2]).norm(dim=1).sum()) / (len(table) - 1)


def _grid(m: int) -> list[float]:
    return [i / m for i in range(m + 1)]


def _quarters(low: Fraction, high: Fraction) -> list[float]:
    """Five equally spaced nodes; as fractions first, so that equal nodes are equal floats."""
    return [float(low + (high - low) * Fraction(i, 4)) for i in range(5)]
