"""The integral of one path by a rule fixed beforehand, for comparison with other libraries."""

from __future__ import annotations

import torch
from torch import Tensor

from .adaptive import Estimate, estimate_error, relative, rule_error
from .rules import corrected_trapezoid, nodes_and_weights


class FixedIntegral:
    """The integral of phi over [0, 1] by one rule; the same interface as `AdaptiveIntegral`.

    The corrected trapezoid on an even number of intervals estimates its error as the adaptive path does; every other
    rule knows no more of it than its completeness gap, which may be small by luck.

    Args:
        rule: one of `rules.FIXED`.
        n: its steps.
        tolerance: relative error at which the path counts as converged.
        gap: the exact sum of the integral over the tokens.
        noise: rounding of the scalars that the gap is taken from.
    """

    def __init__(self, rule: str, n: int, tolerance: float, gap: float, noise: float) -> None:
        self._nodes, self._weights = nodes_and_weights(rule, n)
        self._nested = n // 2 if rule == "corrected_trapezoid" and n % 2 == 0 else 0
        self._tolerance, self._gap, self._noise = tolerance, gap, noise
        self._rows: dict[float, Tensor] = {}

    def pending(self) -> list[float]:
        """Nodes not evaluated yet."""
        return [a for a in self._nodes if a not in self._rows]

    def add(self, nodes: list[float], rows: Tensor) -> None:
        """Take the values of phi at some nodes, [n,T] float64."""
        self._rows.update(zip(nodes, rows, strict=True))

    more = 1

    def refine(self) -> bool:
        """False: a fixed rule has no finer one."""
        return False

    @property
    def estimate(self) -> Estimate:
        """The rule's answer."""
        table = torch.stack([self._rows[a] for a in self._nodes])
        r = coarse = self._weights.to(table.device) @ table
        e1 = 0.0
        if self._nested:
            coarse = corrected_trapezoid(self._nested) @ table[::2]
            e1 = relative(r - coarse, r)
        return estimate_error(
            r,
            coarse,
            rule=rule_error(e1),
            disagreement=e1,
            nodes=len(self._nodes),
            gap=self._gap,
            noise=self._noise,
            tolerance=self._tolerance,
        )
