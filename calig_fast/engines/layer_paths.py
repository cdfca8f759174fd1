"""Layer relevance r_l of a batch: the selection of paths, their integration, and its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.call import Call
from ..quadrature.adaptive import AdaptiveIntegral, Estimate
from ..quadrature.fixed import FixedIntegral
from ..quadrature.warm_start import Start
from .autograd import AutogradEngine
from .base import EndpointGradients, Endpoints, Engine, PathPoint
from .entry import ROUNDINGS

DEFAULT_INTERVALS = 128
DEFAULT_STEPS = 50
WAVE = 8  # points of a path in embedding space at a time: the graph of their second derivatives is large
AnyPath = AdaptiveIntegral | FixedIntegral
Paths = dict[tuple[int, int, int], AnyPath]
Weigh = Callable[[int, "Relevance"], "ScoreErrors"]


class ScoreErrors(NamedTuple):
    """The effect of the layers' errors on the scores.

    Args:
        each: [B,L], relative error of the scores that each layer's error makes.
        too_much: maps errors [L] of one input to True if together they exceed the tolerance.
    """

    each: Tensor
    too_much: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """The quadrature rule of the paths.

    Args:
        quadrature: "auto" (to a tolerance) or a fixed rule, see `rules.FIXED`.
        n_steps: the fixed rule's steps (None for 50); with "auto", the most intervals a path may use (None for 128),
            1 meaning the two endpoints alone.
        tolerance: relative error at which a path is converged.
    """

    quadrature: str = "auto"
    n_steps: int | None = None
    tolerance: float = 2e-2

    def path(
        self, gap: float, noise: float, start: Start, *, defer: bool = False, eps: float = 0.0, kinked: bool = False
    ) -> AnyPath:
        """A new path under this rule; with "auto" it begins at `start`, and with `defer` waits to be refined."""
        if self.quadrature == "auto":
            most = self.n_steps or DEFAULT_INTERVALS
            return AdaptiveIntegral(
                self.tolerance,
                most,
                gap,
                noise,
                first=start.intervals,
                strength=start.strength,
                defer=defer,
                eps=eps,
                kinked=kinked,
            )
        return FixedIntegral(self.quadrature, self.n_steps or DEFAULT_STEPS, self.tolerance, gap, noise)


@dataclass(frozen=True)
class Relevance:
    """r_l of every chosen layer.

    Args:
        estimates: [B][L] the paths' answers.
        gap: [B,L] float64, F(x) - F(x').
        carried: [B,L] float64, F(x) less what F is when block l receives h'_l; the gap, where nothing passes the block.
        noise: rounding of a difference of two values of F.
    """

    estimates: list[list[Estimate]]
    gap: Tensor
    carried: Tensor
    noise: float

    @property
    def bypass(self) -> Tensor:
        """[B,L] float64, (gap - carried) / gap: the share of the change that reaches F past block l.

        0 where the difference is within rounding.
        """
        missed = self.gap - self.carried
        return torch.where(missed.abs() <= ROUNDINGS * self.noise, 0.0, missed / self.gap)

    def share(self, tokens: Tensor) -> Tensor:
        """[B,L] float64, the share of the change that r_l has at some tokens [B,T] bool, 0 within rounding."""
        there = (self.r * tokens[:, None]).sum(2)
        return torch.where(there.abs() <= ROUNDINGS * self.noise, 0.0, there / self.gap)

    @property
    def r(self) -> Tensor:
        """[B,L,T] float64."""
        return torch.stack([torch.stack([e.r for e in row]) for row in self.estimates])

    @property
    def coarse(self) -> Tensor:
        """[B,L,T] float64, the coarser answers."""
        return torch.stack([torch.stack([e.coarse for e in row]) for row in self.estimates])

    def column(self, name: str, dtype: torch.dtype) -> Tensor:
        """One number of every estimate, [B,L]."""
        return torch.tensor([[getattr(e, name) for e in row] for row in self.estimates], dtype=dtype)


def layer_paths(
    engine: Engine,
    call: Call,
    ends: Endpoints,
    layers: Sequence[int],
    rule: Rule,
    *,
    starts: Sequence[Start],
    weigh: Weigh | None = None,
) -> tuple[list[Relevance], Paths]:
    """r_l by the straight path into each block; a zero hidden state is the baseline where none was propagated.

    A point is evaluated for all scalars at once: they share the forward pass.

    Args:
        engine: the engine that evaluates the integrand.
        call: the model's arguments.
        ends: the endpoints.
        layers: blocks with an integral at their inputs.
        rule: how.
        starts: how each layer's paths begin.
        weigh: if the scores must meet the tolerance, not every layer: the effect of each layer's error on them, from
            the number of the scalar and its relevance so far.

    Returns:
        the relevance for each scalar, and the paths by (scalar, input, layer).
    """
    batch = range(len(ends.slopes[0].value))
    low, at_zero = _low_ends(engine, call, ends, layers)  # F where block l receives h'_l
    eps = torch.finfo(ends.hidden[0].dtype).eps
    paths: Paths = {}
    values = torch.stack([slopes.value.cpu() for slopes in ends.slopes])[:, :, None]
    carried = values - at_zero.transpose(1, 2)
    gaps = torch.stack([_gap(slopes, c) for slopes, c in zip(ends.slopes, carried, strict=True)])
    noises = []
    for k, slopes in enumerate(ends.slopes):
        noises.append(_noise(values[k], at_zero[k], ends.hidden[0].dtype))
        for i, layer in enumerate(layers):
            noise = _noise(values[k], at_zero[k, i], ends.hidden[0].dtype)
            for b in batch:
                gap = float(carried[k, b, i])
                path = rule.path(gap, noise, starts[i], defer=weigh is not None, eps=eps, kinked=ends.kinked)
                paths[k, b, layer] = path
                path.add([0.0, 1.0], torch.stack([low[k, i, b], slopes.high[layer, b]]))
    while True:
        while wanted := {PathPoint(layer, b, a) for (_, b, layer), path in paths.items() for a in path.pending()}:
            points = sorted(wanted, key=lambda p: (p.layer, p.row, p.node))
            _hand_out(paths, points, engine.phi(call, ends, points)[0])
        found = [
            Relevance(
                [[paths[k, b, layer].estimate for layer in layers] for b in batch], gaps[k], carried[k], noises[k]
            )
            for k in range(len(gaps))
        ]
        if weigh is None:
            return found, paths
        asked = [_refine(paths, k, layers, weigh(k, r), r, depth=ends.layers) for k, r in enumerate(found)]
        if not any(asked):
            return found, paths


def _refine(paths: Paths, k: int, layers: Sequence[int], harm: ScoreErrors, found: Relevance, *, depth: int) -> bool:
    """Request finer nodes where an input's scores are not accurate enough yet; return False if none are requested.

    Twice the intervals reduce a path's error e to about e^2 / 4; the 4 is for rough starts. They reduce its effect
    h on the scores to about e h / 4. Layers are refined in the order of the reduction per cost, until the tolerance is
    met. The cost of a gradient is the number of blocks that it passes.
    """
    asked = False
    errors = found.column("error", torch.float64)
    for b, row in enumerate(harm.each):
        left, open_ = row.clone(), list(range(len(row)))
        while open_ and bool(harm.too_much(left)):
            gains = {i: float(left[i] ** 2) / (paths[k, b, layers[i]].more * (depth - layers[i] - 0.5)) for i in open_}
            i = max(open_, key=gains.__getitem__)
            open_.remove(i)
            if paths[k, b, layers[i]].refine():
                asked = True
                left[i] *= errors[b, i].clamp_max(0.5) / 4
    return asked


def _low_ends(engine: Engine, call: Call, ends: Endpoints, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """phi at a = 0 of every layer [K,L,B,T], and F there [K,L,B]."""
    first = ends.slopes[0]
    batch, scalars = len(first.value), len(ends.slopes)
    low = first.high.new_zeros(scalars, len(layers), *first.high.shape[1:])
    values = torch.zeros(scalars, len(layers), batch, dtype=torch.float64)
    entered = [layer for layer in layers if any(s.low is None or layer in s.bypassed for s in ends.slopes)]
    for k, s in enumerate(ends.slopes):
        if s.low is not None and s.baseline_value is not None:
            low[k], values[k] = s.low[list(layers)], s.baseline_value.cpu()
    if entered:
        points = [PathPoint(layer, b, 0.0) for layer in entered for b in range(batch)]
        rows, at_zero = engine.phi(call, ends, points)
        where = [list(layers).index(layer) for layer in entered]
        low[:, where] = rows.view(scalars, len(entered), batch, -1)
        values[:, where] = at_zero.view(scalars, len(entered), batch)
    return low, values


def _gap(slopes: EndpointGradients, carried: Tensor) -> Tensor:
    """F(x) - F(x') [B,L] by two whole calls; where no baseline was propagated, what each layer carries."""
    if slopes.baseline_value is None:
        return carried
    return (slopes.value - slopes.baseline_value).cpu()[:, None].expand_as(carried)


def _hand_out(paths: Paths, points: Sequence[PathPoint], rows: Tensor) -> None:
    """Give each path the values at the points it waits for, all of them at once.

    Args:
        rows: [K,n,T].
    """
    where: dict[tuple[int, int], dict[float, int]] = {}
    for i, point in enumerate(points):
        where.setdefault((point.row, point.layer), {})[point.node] = i
    for (k, b, layer), path in paths.items():
        if wanted := path.pending():
            path.add(wanted, rows[k, [where[b, layer][a] for a in wanted]])


def input_paths(
    oracle: AutogradEngine, call: Call, ends: Endpoints, layers: Sequence[int], rule: Rule
) -> list[Relevance]:
    """Layer conductance: the path runs in embedding space, and every layer is integrated along its image."""
    if ends.reference is None:
        raise ValueError(
            'baselines: "conductance" integrates along one path in input space, and a zero hidden state at each layer '
            'is no such path; use baselines="pad" or another reference input'
        )
    eps = torch.finfo(ends.hidden[0].dtype).eps
    out = []
    for k, (scalar, slopes) in enumerate(zip(ends.scalars, ends.slopes, strict=True)):
        low_value = slopes.baseline_value
        if low_value is None:
            raise RuntimeError("a propagated baseline without its scalar")
        known: dict[tuple[int, float], Tensor] = {}
        gap = (slopes.value - low_value).cpu()
        noise = _noise(slopes.value, low_value, ends.hidden[0].dtype)
        carried = gap
        if 0 in slopes.bypassed:
            points = [PathPoint(0, b, 0.0) for b in range(len(gap))]
            carried = slopes.value.cpu() - oracle.phi(call, ends, points)[1][k]
        paths = {
            (k, b, layer): rule.path(float(carried[b]), noise, Start(), eps=eps, kinked=ends.kinked)
            for layer in layers
            for b in range(len(gap))
        }
        while wanted := sorted({(b, layer, a) for (_, b, layer), path in paths.items() for a in path.pending()}):
            new = sorted({(b, a) for b, _, a in wanted} - known.keys())
            for wave in (new[i : i + WAVE] for i in range(0, len(new), WAVE)):
                found = oracle.along_input(call, scalar, ends.reference[0], ends.hidden[0], wave).cpu()
                known.update({key: found[:, i] for i, key in enumerate(wave)})
            for (_, b, layer), path in paths.items():
                if pending := path.pending():
                    path.add(pending, torch.stack([known[b, a][layer] for a in pending]))
        estimates = [[paths[k, b, layer].estimate for layer in layers] for b in range(len(gap))]
        whole = gap[:, None].expand(-1, len(layers))  # one path for all layers: what passes one is missed in its sum
        out.append(Relevance(estimates, whole, carried[:, None].expand_as(whole), noise))
    return out


def _noise(value: Tensor, other: Tensor, dtype: torch.dtype) -> float:
    """Rounding of the scalars that a gap is taken from: a unit in the last place of the larger one."""
    return float(torch.finfo(dtype).eps * torch.maximum(value.abs().max(), other.abs().max()))
