"""Explanations with the dense rule in the place of the package's, and all that they evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.torture.dense import GOAL, MOST, Dense
from calig_fast import Attribution, Explainer
from calig_fast.engines import layer_paths
from calig_fast.methods.base import Method, Signals
from calig_fast.pipeline import integrate as integration
from calig_fast.quadrature.adaptive import Estimates, Paths
from calig_fast.quadrature.estimate import Bools, Floats, Ints, Judgement
from calig_fast.quadrature.values import Wanted


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


class Truths:
    """The dense rule on P paths, with the interface of the package's integrals.

    Args:
        paths: their ends and known properties.
        goal: relative error asked for.
        most: the most values of a path.
    """

    def __init__(self, paths: Paths, goal: float, most: int) -> None:
        self.paths = paths
        self.each = [Dense(goal, most) for _ in paths.gap]
        for path, ends in zip(self.each, paths.ends.transpose(0, 1), strict=True):
            path.add([0.0, 1.0], ends)

    def pending(self) -> Wanted:
        """The next evaluations."""
        wanted = [(i, a) for i, path in enumerate(self.each) for a in path.pending()]
        return Wanted(np.array([i for i, _ in wanted], dtype=np.int64), np.array([a for _, a in wanted]))

    def add(self, rows: Tensor) -> None:
        """Take the values of phi at all pending nodes, [n,T] float64."""
        first = 0
        for path in self.each:
            if nodes := path.pending():
                path.add(nodes, rows[first : first + len(nodes)])
                first += len(nodes)

    def refine(self, which: Bools) -> Bools:
        """False: the dense rule decides by itself."""
        return np.zeros_like(which)

    def stop(self) -> bool:
        """False: it takes what it needs."""
        return False

    @property
    def more(self) -> Ints:
        """One: there is nothing to refine."""
        return np.ones(len(self.each), dtype=np.int64)

    @property
    def estimates(self) -> Estimates:
        """The answers in the package's form."""
        r = torch.stack([path.r for path in self.each])
        own, nothing = np.array([path.error for path in self.each]), np.zeros(len(self.each))
        errors = Judgement(
            error=own, rule=own, disagreement=nothing, delta=nothing, unbalanced=nothing, missing=nothing
        )
        counts = np.array([path.count for path in self.each])
        return Estimates(r=r, coarse=r, errors=errors, nodes=counts, ends=np.zeros_like(counts))


Group = tuple[Truths, list[int]]


@contextlib.contextmanager
def dense_paths(goal: float = GOAL, most: int = MOST) -> Iterator[tuple[list[Group], list[Signals]]]:
    """In this context every explanation integrates by the dense rule.

    Yields:
        of each group of inputs its integrals in the order [input, layer], with the layers, and its signals.
    """
    groups: list[Group] = []
    signals: list[Signals] = []
    integrate, weigh = integration.layer_paths, integration.score_errors

    def truths(rule: Any, paths: Paths, starts: Any, **options: Any) -> Truths:
        return Truths(paths, goal, most)

    def layers(run: Any, chosen: Any, *args: Any, **options: Any) -> Any:
        integrated = integrate(run, chosen, *args, **options)
        groups.append((integrated[1], list(chosen)))  # type: ignore[arg-type]
        return integrated

    def effect(method: Method, now: Signals, errors: Any, scores: Tensor) -> Floats:
        signals.append(now)
        return weigh(method, now, errors, scores)

    with (
        patch.object(layer_paths.Rule, "integrals", truths),
        patch.object(integration, "layer_paths", layers),
        patch.object(integration, "score_errors", effect),
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
    if groups and len(groups) != len(signals):
        raise RuntimeError(f"recorded {len(groups)} groups of paths and {len(signals)} of signals")
    rows = [(groups[i] if groups else None, now, b) for i, now in enumerate(signals) for b in range(len(now.mask))]
    if len(rows) != len(a.scores):
        raise RuntimeError(f"recorded {len(rows)} inputs of {len(a.scores)}")
    return [_record(a, i, *row) for i, row in enumerate(rows)]


def _record(a: Attribution, i: int, group: Group | None, now: Signals, b: int) -> Record:
    here = now.mask[b]
    paths = []
    if group is not None:
        truths, layers = group
        for k, layer in enumerate(layers):
            at = b * len(layers) + k
            path, gap = truths.each[at], float(truths.paths.gap[at])
            panels = sorted(path.panels, key=lambda panel: panel.low)
            low, high = (end[here].clone() for end in truths.paths.ends[:, at])
            paths.append(
                Path(
                    layer=layer,
                    edges=torch.tensor([[p.low, p.high] for p in panels], dtype=torch.float64),
                    rows=torch.stack([p.rows[:, here] for p in panels]),
                    low=low,
                    high=high,
                    gap=gap,
                    noise=float(truths.paths.noise[at]),
                    kinked=truths.paths.kinked,
                    r=path.r[here].clone(),
                    own=path.error,
                    missed=abs(float(path.r.sum()) - gap) / (abs(gap) or 1.0),
                )
            )
    scores, layer_scores = _truth(a, i, now, b)
    signals = {
        "maps": None if now.maps is None else now.maps[b][:, here][:, :, here].float(),
        "product": now.product[b][:, here].clone(),
        "readout": now.readout[b][here].clone(),
    }
    return Record(
        paths=paths,
        scores=scores[here],
        layer_scores=layer_scores[:, here],
        own=a.error[i].tolist(),
        value=float(a.logits[i, a.target[i]]) if a.target is not None else float("nan"),
        gap=a.gap[i].tolist(),
        depth=now.relevance.shape[1],
        signals=signals,
        target=None if a.target is None else int(a.target[i]),
    )


def _truth(a: Attribution, i: int, now: Signals, b: int) -> tuple[Tensor, Tensor]:
    """The result's scores and layer scores, padded to the width of its own group."""
    width = now.mask.shape[1]
    return a.scores[i, :width].double(), a.layer_scores[i, :, :width].double()
