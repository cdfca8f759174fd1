"""The claimed and the true error of an integral, by our rule and by Captum's, at the same tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.torture.dense import integrate
from benchmarks.torture.integrands import TOKENS, Integrand, Separable
from benchmarks.torture.lies import relative
from calig_fast.quadrature.adaptive import AdaptiveIntegrals, Paths, Start

STEPS = (50, 100, 200, 400, 800)  # Captum's default, doubled until its delta is within the tolerance
BUDGET = 128  # intervals, as in `explain`


@dataclass(frozen=True)
class Found:
    """One library's integral.

    Args:
        claimed: the relative error that it states; Captum's is its convergence delta over |gap|.
        marked: the claim is within the tolerance.
        true: the relative error.
        nodes: gradients.
    """

    claimed: float
    marked: bool
    true: float
    nodes: int


def ours(case: Integrand, tolerance: float, r: Tensor) -> Found:
    """The package's rule on an integrand, its budget that of `explain`."""
    ends = case([0.0, 1.0])[:, None]
    paths = Paths(ends=ends, gap=np.array([float(r.sum())]), noise=np.zeros(1), kinked=case.kinked)
    integrals = AdaptiveIntegrals(paths, [Start()], tolerance=tolerance, budget=BUDGET)
    while wanted := integrals.pending():
        integrals.add(case(wanted.node.tolist()))
    estimates = integrals.estimates
    claimed = float(estimates.errors.error[0])
    return Found(claimed, claimed <= tolerance, relative(estimates.r[0], r), int(estimates.nodes[0]))


def captum(case: Integrand, tolerance: float, r: Tensor) -> Found:
    """Captum's IntegratedGradients on a function whose gradient is the integrand."""
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    gap = float(r.sum())
    method = IntegratedGradients(Separable(case, gap))
    x = torch.ones(1, TOKENS, dtype=torch.float64)

    def once(steps: int) -> tuple[Tensor, float]:
        parts, delta = method.attribute(x, baselines=torch.zeros_like(x), n_steps=steps, return_convergence_delta=True)
        return parts[0], float(delta)

    return doubled(once, gap, tolerance, r)


def doubled(once: Callable[[int], tuple[Tensor, float]], gap: float, tolerance: float, r: Tensor) -> Found:
    """Captum's answer with the fewest of `STEPS` at which its delta is within the tolerance.

    Args:
        once: steps to an integral and its delta.
        gap: that the delta is relative to.
        tolerance: relative error asked for.
        r: the true integral.
    """
    taken = 0
    for steps in STEPS:
        integral, delta = once(steps)
        taken += steps
        claimed = abs(delta) / abs(gap) if gap else float("inf")
        if claimed <= tolerance:
            break
    return Found(claimed, claimed <= tolerance, relative(integral, r), taken)


def of_integrand(case: Integrand, tolerances: Sequence[float]) -> list[dict[str, object]]:
    """A row for each tolerance."""
    truth = integrate(case, goal=1e-9, most=20_000)
    return [
        {
            "case": case.name,
            "kind": "integrand",
            "tolerance": tolerance,
            "truth": truth.error,
            "ours": vars(ours(case, tolerance, truth.r)),
            "captum": vars(captum(case, tolerance, truth.r)),
        }
        for tolerance in tolerances
    ]
