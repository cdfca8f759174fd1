"""Integrals of many paths by one rule fixed beforehand, for comparison with other libraries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._utils.ends import ENDS
from .._utils.host_copies import uploaded
from .adaptive import Estimates, Paths
from .estimate import Bools, Ints, Sizes, measured, on_host, over, rule_error
from .rules import corrected_trapezoid, nodes_and_weights
from .values import Wanted


class FixedIntegrals:
    """The integrals of P paths over [0, 1] by one rule; the same interface as `AdaptiveIntegrals`.

    The corrected trapezoid on an even number of intervals estimates its error as the adaptive path does; every other
    rule knows no more of it than its completeness gap, which may be small by luck.
    Where there is no gap either, its error is put at 1.

    Args:
        paths: their ends and known properties.
        rule: one of `rules.FIXED`.
        n: its steps.
    """

    def __init__(self, paths: Paths, rule: str, n: int) -> None:
        self._paths = paths
        nodes, weights = nodes_and_weights(rule, n)
        self._nodes, self._weights = np.array(nodes), uploaded(weights, paths.ends.device)
        self._nested = n // 2 if rule == "corrected_trapezoid" and n % 2 == 0 else 0
        # the ends are known
        self._inner = np.flatnonzero((self._nodes != 0) & (self._nodes != 1))
        self._rows: Tensor | None = None
        if not len(self._inner):
            self.add(paths.ends[0, :0])

    def pending(self) -> Wanted:
        """The nodes of all paths, until they are evaluated."""
        count = 0 if self._rows is not None else len(self._paths.gap)
        return Wanted(np.repeat(np.arange(count), len(self._inner)), np.tile(self._nodes[self._inner], count))

    def add(self, rows: Tensor) -> None:
        """Take the values of phi at all pending nodes, in their order, [n,T] float64."""
        low, high = self._paths.ends
        table = low.new_empty(len(low), len(self._nodes), low.shape[1])
        for place, node in enumerate(self._nodes):
            if node in {0.0, 1.0}:
                table[:, place] = high if node else low
        inner = uploaded(torch.from_numpy(self._inner), low.device)
        table[:, inner] = rows.view(len(low), len(inner), low.shape[1])
        self._rows = table

    def stop(self) -> bool:
        """False: a fixed rule has no answer without all of its nodes."""
        return False

    @property
    def more(self) -> Ints:
        """One: there is nothing to refine."""
        return np.ones(len(self._paths.gap), dtype=np.int64)

    def refine(self, which: Bools) -> Bools:
        """False: a fixed rule has no finer one."""
        return np.zeros_like(which)

    @property
    def estimates(self) -> Estimates:
        """The rule's answers."""
        if self._rows is None:
            raise RuntimeError("the paths were not evaluated")
        r = coarse = self._weights @ self._rows
        if self._nested:
            coarse = uploaded(corrected_trapezoid(self._nested), r.device) @ self._rows[:, ::2]
        sizes = Sizes.of(on_host(measured(r, coarse)))
        rule = rule_error(over(sizes.difference, sizes.norm), 2 * self._nested)
        if not self._nested and not self._paths.complete:
            rule = np.ones_like(rule)  # nothing is known
        errors = self._paths.judged(sizes, rule)
        return Estimates(
            r=r,
            coarse=coarse,
            errors=errors,
            nodes=np.full(len(r), len(self._nodes)),
            ends=np.where(np.isfinite(errors.error), ENDS.index("limit"), ENDS.index("nonfinite")),
        )
