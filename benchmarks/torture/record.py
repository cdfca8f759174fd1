"""Explanations with the dense rule in the place of the package's, and all that they evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.torture.dense import GOAL, MOST, Dense
from calig_fast import Attribution, Explainer, _pipeline
from calig_fast.engines import layer_paths
from calig_fast.methods.base import Method, Signals
from calig_fast.quadrature.adaptive import Estimate
from calig_fast.quadrature.fixed import FixedIntegral


@dataclass
class Path:
    """One layer of one input.

    Args:
        layer: its block.
        edges: [P,2] float64, the ends of the dense rule's panels, in order.
        rows: [P,17,T] float64, phi at each panel's Chebyshev nodes.
        low: phi at 0 [T] float64.
        high: phi at 1.
        gap: F(x) less F where the block receives h'_l.
        noise: rounding of the scalars of the gap, in float64.
        kinked: the integrand may jump.
        r: [T] float64, the integral.
        own: estimated relative error of `r`.
        missed: |sum of r - gap| / |gap|, which the dense rule does not use.
    """

    layer: int
    edges: Tensor = field(repr=False)
    rows: Tensor = field(repr=False)
    low: Tensor = field(repr=False)
    high: Tensor = field(repr=False)
    gap: float
    noise: float
    kinked: bool
    r: Tensor = field(repr=False)
    own: float
    missed: float


@dataclass
class Record:
    """The truth of one input.

    Args:
        paths: by layer; none where the method's integral is in the space of the input.
        scores: [T] float64, of the method, from the true r_l.
        layer_scores: [L,T] float64.
        own: [L], the estimated relative error of each layer's integral.
        value: F(x).
        gap: [L], of the explanation.
        depth: blocks.
        signals: the input of the method, one row, padding cut off.
        target: the explained class.
    """

    paths: list[Path]
    scores: Tensor
    layer_scores: Tensor
    own: list[float]
    value: float
    gap: list[float]
    depth: int
    signals: dict[str, Any]
    target: int | None


class Truth(Dense):
    """The dense rule with the interface of the package's paths.

    Args:
        gap: the exact sum of the integral.
        noise: rounding of the gap.
        kinked: the integrand may jump.
        goal: relative error asked for.
        most: the most values to take.
    """

    more = 1

    def __init__(self, gap: float, noise: float, kinked: bool, *, goal: float, most: int) -> None:
        super().__init__(goal, most)
        self.gap, self.noise, self.kinked = gap, noise, kinked
        self.ends: list[Tensor] = []
        self._plain = FixedIntegral("riemann_trapezoid", 2, 1.0, gap, noise)

    def add(self, nodes: list[float], rows: Tensor) -> None:
        """Take values of phi; those of the two ends come first."""
        if not self.ends:
            self.ends = [rows[nodes.index(a)].double() for a in (0.0, 1.0)]
            self._plain.add(nodes, rows)
        super().add(nodes, rows)

    def refine(self) -> bool:
        """False: the dense rule decides by itself."""
        return False

    @property
    def estimate(self) -> Estimate:
        """The answer in the package's form."""
        r = self.r
        return replace(self._plain.estimate, r=r, coarse=r, error=self.error, nodes=self.count, converged=True)


@contextlib.contextmanager
def dense_paths(goal: float = GOAL, most: int = MOST) -> Iterator[tuple[list[Any], list[Signals]]]:
    """In this context every explanation integrates by the dense rule.

    Yields:
        of each group of inputs its paths by (scalar, input, layer), with the relevance, and its signals.
    """
    groups: list[Any] = []
    signals: list[Signals] = []
    integrate, weigh = _pipeline.layer_paths, _pipeline.score_errors

    def path(rule: Any, gap: float, noise: float, start: Any, **options: Any) -> Truth:
        return Truth(gap, noise, bool(options.get("kinked")), goal=goal, most=most)

    def layers(*args: Any, **options: Any) -> Any:
        found = integrate(*args, **options)
        groups.append(found[1])
        return found

    def harm(method: Method, now: Signals, errors: Any) -> Tensor:
        signals.append(now)
        return weigh(method, now, errors)

    with (
        patch.object(layer_paths.Rule, "path", path),
        patch.object(_pipeline, "layer_paths", layers),
        patch.object(_pipeline, "score_errors", harm),
    ):
        yield groups, signals


def record(explainer: Explainer, inputs: Any, *, goal: float = GOAL, most: int = MOST, **options: Any) -> list[Record]:
    """The truth of some inputs; the explainer should compute in float64.

    Args:
        explainer: of one target at a time.
        inputs: as it takes them.
        goal: relative error of each integral.
        most: the most values of a path.
        options: of the call.
    """
    with dense_paths(goal, most) as (groups, signals):
        a = explainer(inputs, **options)
    rows = [(paths, now, b) for paths, now in _zipped(groups, signals) for b in range(len(now.mask))]
    if len(rows) != len(a.scores):
        raise RuntimeError(f"recorded {len(rows)} inputs of {len(a.scores)}")
    return [_record(a, i, *row) for i, row in enumerate(rows)]


def _zipped(groups: list[Any], signals: list[Signals]) -> list[tuple[Any, Signals]]:
    """The paths of each group beside its signals; no paths where the integral is in the space of the input."""
    return list(zip(groups, signals, strict=True)) if groups else [({}, now) for now in signals]


def _record(a: Attribution, i: int, paths: Any, now: Signals, b: int) -> Record:
    here = now.mask[b]
    found = []
    for (_, row, layer), path in paths.items():
        if row == b:
            r = path.r[here]
            panels = sorted(path.panels, key=lambda panel: panel.low)
            edges = torch.tensor([[p.low, p.high] for p in panels], dtype=torch.float64)
            values = torch.stack([p.rows[:, here] for p in panels])
            missed = abs(float(path.r.sum()) - path.gap) / (abs(path.gap) or 1.0)
            low, high = (end[here].clone() for end in path.ends)
            found.append(
                Path(layer, edges, values, low, high, path.gap, path.noise, path.kinked, r.clone(), path.error, missed)
            )
    scores, layer_scores = _truth(a, i, now, b)
    kept = {
        "maps": None if now.maps is None else now.maps[b][:, here][:, :, here].float(),
        "product": now.product[b][:, here].clone(),
        "readout": now.readout[b][here].clone(),
    }
    return Record(
        paths=sorted(found, key=lambda path: path.layer),
        scores=scores[here],
        layer_scores=layer_scores[:, here],
        own=a.error[i].tolist(),
        value=float(a.logits[i, a.target[i]]) if a.target is not None else float("nan"),
        gap=a.gap[i].tolist(),
        depth=now.relevance.shape[1],
        signals=kept,
        target=None if a.target is None else int(a.target[i]),
    )


def _truth(a: Attribution, i: int, now: Signals, b: int) -> tuple[Tensor, Tensor]:
    """The result's scores and layer scores, padded to the width of its own group."""
    width = now.mask.shape[1]
    return a.scores[i, :width].double(), a.layer_scores[i, :, :width].double()
