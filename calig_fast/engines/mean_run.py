"""The run of several baselines: the mean of their integrands, integrated as one.

The integrals of phi^1 ... phi^R have the mean of phi as the integrand of their mean. So every error, completeness error
and guarantee is told of the mean itself, not put together from the baselines' own. They share the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..inputs.baseline import at_place
from .autograd_run import AutogradRun
from .base import EndpointGradients, Endpoints, Engine, PathPoints, Problem, Run
from .budget import Budget


def start(engine: Engine, problems: Sequence[Problem]) -> Run:
    """The run of one problem, or of several that differ in their baselines alone.

    Each baseline has a pass with the input. The attention maps and the scalars are those of the first.

    Args:
        engine: the engine.
        problems: one for each baseline.
    """
    budget = engine.budget
    budget.waiting = 0
    if len(problems) == 1:
        return engine.start(problems[0])
    runs: list[Run] = []
    for place, problem in enumerate(problems):
        budget.waiting = _bytes(runs)
        if runs:
            problem = replace(problem, maps=None, resolve=lambda z: runs[0].endpoints.scalars)
        with at_place(place, len(problems)):
            runs.append(engine.start(replace(problem, alone=False)))
    return MeanRun(runs, budget)


class MeanRun:
    """The mean over baselines; see `Run`.

    Args:
        runs: one for each baseline, of the same inputs and scalars.
        budget: of their engine.
    """

    def __init__(self, runs: Sequence[Run], budget: Budget) -> None:
        self._runs, self._budget = runs, budget
        self.endpoints = self._mean_endpoints()

    @property
    def held(self) -> list[Tensor]:
        """Those of all runs."""
        return [t for run in self._runs for t in run.held]

    @property
    def row_bytes(self) -> int:
        """Those of all runs."""
        return sum(run.row_bytes for run in self._runs)

    def integrand(self, points: PathPoints) -> tuple[Tensor, Tensor]:
        """See `Run.integrand`: the means of phi and of F."""
        every = []
        for run in self._runs:
            self._budget.waiting = _bytes([other for other in self._runs if other is not run])
            every.append(run.integrand(points))
        phi, values = zip(*every, strict=True)
        return _mean(phi), _mean(values)

    def along_input(self, k: int, points: Sequence[tuple[int, float]]) -> Tensor:
        """See `AutogradRun.along_input`: the mean of phi.

        Raises:
            RuntimeError: a run of another engine.
        """
        every = []
        for run in self._runs:
            if not isinstance(run, AutogradRun):
                raise RuntimeError("a path in input space runs on the autograd engine")
            every.append(run.along_input(k, points))
        return _mean(every)

    def _mean_endpoints(self) -> Endpoints:
        ends = [run.endpoints for run in self._runs]
        lows = [_low_ends(run) for run in self._runs]
        propagated = all(one.baseline_first is not None for one in ends)
        return replace(
            ends[0],
            baseline_first=ends[0].baseline_first if propagated else None,
            slopes=[
                _mean_slopes([one.slopes[k] for one in ends], [low[k] for low in lows])
                for k in range(len(ends[0].slopes))
            ],
            kinked=any(one.kinked for one in ends),
        )


def _low_ends(run: Run) -> list[tuple[Tensor, Tensor]]:
    """phi at the baseline [L,B,T] and F(x') [L,B] of each scalar; those of a zero hidden state are evaluated."""
    ends = run.endpoints
    layers, batch = ends.layers, len(ends.first)
    known = [
        (s.low, s.baseline_value.expand(layers, -1))
        for s in ends.slopes
        if s.low is not None and s.baseline_value is not None
    ]
    if len(known) == len(ends.slopes):
        return known
    layer, row = np.indices((layers, batch)).reshape(2, -1)
    phi, values = run.integrand(PathPoints(layer=layer, row=row, node=np.zeros(len(row))))
    return [(low.view(layers, batch, -1), value.view(layers, batch)) for low, value in zip(phi, values, strict=True)]


def _mean_slopes(every: Sequence[EndpointGradients], lows: Sequence[tuple[Tensor, Tensor]]) -> EndpointGradients:
    """The means of the gradients of one scalar; maps and readout are those of the first baseline's run."""
    low, baseline_value = zip(*lows, strict=True)
    return replace(
        every[0],
        high=_mean([one.high for one in every]),
        low=_mean(low),
        baseline_value=_mean(baseline_value),
        bypassed=frozenset().union(*(one.bypassed for one in every)),
    )


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([*tensors]).mean(0)


def _bytes(runs: Sequence[Run]) -> int:
    return sum(t.nbytes for run in runs for t in run.held)
