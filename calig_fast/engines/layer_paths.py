"""Layer relevance r_l of a batch: its paths, their integration, and its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._utils.host_copies import fetched, uploaded
from ..quadrature.adaptive import AdaptiveIntegrals, Integrals, Paths, Start
from ..quadrature.estimate import Bools, Floats, Ints, Judgement
from ..quadrature.fixed import FixedIntegrals
from .autograd_run import AutogradRun
from .base import EndpointGradients, PathPoints, Run
from .budget import is_out_of_memory
from .entry import ROUNDINGS
from .mean_run import MeanRun

DEFAULT_INTERVALS = 128
DEFAULT_STEPS = 50
WAVE = 8  # points of a path in embedding space at a time: the graph of their second derivatives is large
Weigh = Callable[[int, "Relevance"], "ScoreErrors"]


class ScoreErrors(NamedTuple):
    """The effect of the layers' errors on the scores.

    Args:
        each: [B,L], relative error of the scores that each layer's error makes.
        too_much: maps errors [B,L] to True [B] where together they exceed the tolerance.
    """

    each: Floats
    too_much: Callable[[Floats], Bools]


@dataclass(frozen=True)
class Rule:
    """The quadrature rule of the paths.

    Args:
        quadrature: "auto" (to a tolerance) or a fixed rule, see `rules.FIXED`.
        n_steps: the fixed rule's steps (None for 50); with "auto", the most intervals a path may use (None for 128),
            1 meaning the two endpoints alone.
        tolerances: relative error at which a layer's path is converged, one for all layers or [L].
    """

    quadrature: str = "auto"
    n_steps: int | None = None
    tolerances: float | Floats = 2e-2

    def integrals(self, paths: Paths, starts: Sequence[Start], *, defer: bool = False) -> Integrals:
        """Integrals under this rule; with "auto" they begin at `starts`, and with `defer` wait to be refined."""
        if self.quadrature != "auto":
            return FixedIntegrals(paths, self.quadrature, self.n_steps or DEFAULT_STEPS)
        budget = self.n_steps or DEFAULT_INTERVALS
        tolerance = np.resize(self.tolerances, len(paths.gap))  # the layers of each input, again and again
        return AdaptiveIntegrals(paths, starts, tolerance=tolerance, budget=budget, defer=defer)


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """r_l of every chosen layer.

    Args:
        r: [B,L,T] float64.
        coarse: the coarser answers, [B,L,T] float64.
        errors: of r_l, [B,L] each.
        nodes: evaluations used, endpoints included, [B,L].
        ends: why each is not refined any more, numbers of `ENDS`, [B,L].
        gap: [B,L], F(x) - F(x').
        carried: [B,L], F(x) less what F is when block l receives h'_l; the gap, where nothing passes the block.
        noise: [B,L], rounding of a difference of two values of F.
    """

    r: Tensor
    coarse: Tensor
    errors: Judgement
    nodes: Ints
    ends: Ints
    gap: Floats
    carried: Floats
    noise: Floats

    @property
    def bypass(self) -> Floats:
        """[B,L], (gap - carried) / gap: the share of the change that reaches F past block l.

        0 where the difference is within rounding.
        """
        return self._of_gap(self.gap - self.carried)

    def share(self, part: Floats) -> Floats:
        """[B,L], the share that a part of the change [B,L] has of it, 0 within rounding."""
        return self._of_gap(part)

    def _of_gap(self, part: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(np.abs(part) <= ROUNDINGS * self.noise, 0.0, part / self.gap)


def layer_paths(
    run: Run, layers: Sequence[int], rule: Rule, *, starts: Sequence[Start], weigh: Weigh | None = None
) -> tuple[list[Relevance], Integrals]:
    """r_l by the straight path into each block; a zero hidden state is the baseline where none was propagated.

    A point is evaluated for all scalars at once: they share the forward pass.

    Args:
        run: evaluates the integrand.
        layers: blocks with an integral at their inputs.
        rule: how.
        starts: how each layer's paths begin.
        weigh: if the scores must meet the tolerance, not every layer: the effect of each layer's error on them, from
            the number of the scalar and its relevance so far.

    Returns:
        the relevance for each scalar, and the integrals, in the order [scalar, input, layer].
    """
    ends, blocks = run.endpoints, np.array(layers, dtype=np.int64)
    low, at_zero = _low_ends(run, blocks)  # F where block l receives h'_l
    where = uploaded(torch.from_numpy(blocks), ends.first.device)
    high = torch.stack([slopes.high[where] for slopes in ends.slopes])
    values = np.stack([_values(slopes.value) for slopes in ends.slopes])[:, :, None]
    carried = values - at_zero.transpose(0, 2, 1)
    gap = np.stack([_gap(slopes, c, blocks) for slopes, c in zip(ends.slopes, carried, strict=True)])
    eps = torch.finfo(ends.first.dtype).eps
    noise = eps * np.maximum(np.abs(values), np.abs(at_zero.transpose(0, 2, 1)))
    paths = Paths(
        ends=torch.stack([low, high]).transpose(2, 3).flatten(1, 3),
        gap=carried.ravel(),
        noise=noise.ravel(),
        eps=eps,
        kinked=ends.kinked,
        complete=ends.complete,
    )
    per_layer = [*starts] * (len(paths.gap) // max(1, len(starts)))
    integrals = rule.integrals(paths, per_layer, defer=weigh is not None)

    def relevances() -> list[Relevance]:
        now = integrals.estimates
        shape = carried.shape
        columns = {name: column.reshape(shape) for name, column in vars(now.errors).items()}
        return [
            Relevance(
                r=r,
                coarse=coarse,
                errors=Judgement(**{name: column[k] for name, column in columns.items()}),
                nodes=now.nodes.reshape(shape)[k],
                ends=now.ends.reshape(shape)[k],
                gap=gap[k],
                carried=carried[k],
                noise=noise[k],
            )
            for k, (r, coarse) in enumerate(zip(now.r.view(*shape, -1), now.coarse.view(*shape, -1), strict=True))
        ]

    while True:
        _evaluate(run, integrals, blocks, carried.shape)
        if weigh is None:
            return relevances(), integrals
        cost = integrals.more.reshape(carried.shape) * (ends.layers - blocks - 0.5)
        every = [_finer(k, weigh(k, r), r.errors.error, cost[k], integrals) for k, r in enumerate(relevances())]
        if not any(every):
            return relevances(), integrals


def _evaluate(run: Run, integrals: Integrals, blocks: Ints, shape: tuple[int, ...]) -> None:
    """Give the integrals all the values that they wait for, round by round."""
    while wanted := integrals.pending():
        scalar, row, layer = np.unravel_index(wanted.path, shape)
        back = np.arange(len(row))
        points = PathPoints(layer=blocks[layer], row=row, node=wanted.node)
        if shape[0] > 1:  # what one scalar asks for serves the others too
            keys, back = np.unique(np.stack([blocks[layer], row, wanted.node]), axis=1, return_inverse=True)
            points = PathPoints(layer=keys[0].astype(np.int64), row=keys[1].astype(np.int64), node=keys[2])
        try:
            phi = run.integrand(points)[0]
        except RuntimeError as error:
            if not is_out_of_memory(error) or not integrals.stop():
                raise
            return
        places = (uploaded(torch.from_numpy(index), phi.device) for index in (scalar, back.ravel()))
        integrals.add(phi[0] if shape[0] == 1 else phi[tuple(places)])


def _finer(k: int, effect: ScoreErrors, errors: Floats, cost: Floats, integrals: Integrals) -> bool:
    """Request finer nodes where an input's scores are not accurate enough yet; return False if none are requested.

    Twice the intervals reduce a path's error e to about e^2 / 4; the 4 is for rough starts. They reduce its effect
    h on the scores to about e h / 4. Layers are refined in the order of the reduction per cost, until the tolerance is
    met. The cost of a gradient is the number of blocks that it passes.

    Args:
        k: the scalar.
        effect: of the layers' errors on its scores.
        errors: of its layers, [B,L].
        cost: of refining each, [B,L].
        integrals: of all scalars.
    """
    left, closed, requested = effect.each.copy(), np.zeros(effect.each.shape, dtype=bool), False
    rows = np.arange(len(left))
    while (active := effect.too_much(left) & ~closed.all(1)).any():
        gains = np.where(closed, -np.inf, np.nan_to_num(left**2 / cost, nan=np.inf))
        chosen = gains.argmax(1)
        which = np.zeros_like(closed)
        which[rows[active], chosen[active]] = True
        closed |= which
        every = np.zeros(len(integrals.more), dtype=bool)
        every[k * which.size : (k + 1) * which.size] = which.ravel()
        granted = integrals.refine(every)[k * which.size : (k + 1) * which.size].reshape(which.shape) & which
        requested = requested or bool(granted.any())
        left = np.where(granted, left * np.minimum(errors, 0.5) / 4, left)
    return requested


def _low_ends(run: Run, layers: Ints) -> tuple[Tensor, Floats]:
    """phi at a = 0 of every layer [K,L,B,T], and F there [K,L,B]."""
    slopes = run.endpoints.slopes
    first = slopes[0]
    batch, where = len(first.value), uploaded(torch.from_numpy(layers), first.high.device)
    low = first.high.new_zeros(len(slopes), len(layers), *first.high.shape[1:])
    values = np.zeros((len(slopes), len(layers), batch))
    entered = np.array([any(s.low is None or int(layer) in s.bypassed for s in slopes) for layer in layers], dtype=bool)
    for k, s in enumerate(slopes):
        if s.low is not None and s.baseline_value is not None:
            low[k], values[k] = s.low[where], _of_layers(s.baseline_value, layers)
    if entered.any():
        count = int(entered.sum())
        points = PathPoints(
            layer=np.repeat(layers[entered], batch), row=np.tile(np.arange(batch), count), node=np.zeros(count * batch)
        )
        rows, at_zero = run.integrand(points)
        at = uploaded(torch.from_numpy(np.flatnonzero(entered)), low.device)
        low[:, at] = rows.view(len(slopes), count, batch, -1)
        values[:, entered] = _values(at_zero).reshape(len(slopes), count, batch)
    return low, values


def _values(scalars: Tensor) -> Floats:
    """Values of F on the host."""
    values: Floats = fetched(scalars)[0].double().numpy()
    return values


def _of_layers(baseline_value: Tensor, layers: Ints) -> Floats:
    """F(x') at some layers, [L,B], or [1,B] where it is the same at all."""
    values = _values(baseline_value)
    return values[layers] if values.ndim > 1 else values[None]


def _gap(slopes: EndpointGradients, carried: Floats, layers: Ints) -> Floats:
    """F(x) - F(x') [B,L] by two whole calls; where no baseline was propagated, what each layer carries."""
    if slopes.baseline_value is None:
        return carried
    return np.broadcast_to((_values(slopes.value) - _of_layers(slopes.baseline_value, layers)).T, carried.shape)


def input_paths(run: AutogradRun | MeanRun, layers: Sequence[int], rule: Rule) -> list[Relevance]:
    """Layer conductance: the path runs in embedding space, and every layer is integrated along its image."""
    ends = run.endpoints
    if ends.baseline_first is None:
        raise ValueError(
            'baselines: "conductance" integrates along one path in input space, and a zero hidden state at each layer '
            'is no such path; use baselines="pad" or another reference input'
        )
    return [_along_input(run, k, layers, rule) for k in range(len(ends.slopes))]


def _along_input(run: AutogradRun | MeanRun, k: int, layers: Sequence[int], rule: Rule) -> Relevance:
    """Layer conductance of one scalar."""
    ends, slopes = run.endpoints, run.endpoints.slopes[k]
    if slopes.baseline_value is None:
        raise RuntimeError("a propagated baseline without its scalar")
    batch, depth = len(slopes.value), len(layers)
    value, other = _values(slopes.value), _of_layers(slopes.baseline_value, np.zeros(1, dtype=np.int64))[0]
    carried, eps = value - other, torch.finfo(ends.first.dtype).eps
    if 0 in slopes.bypassed:
        zeros = np.zeros(batch, dtype=np.int64)
        points = PathPoints(layer=zeros, row=np.arange(batch), node=zeros.astype(np.float64))
        carried = value - _values(run.integrand(points)[1][k])
    # one path for all layers: what passes one is missed in its sum
    gap, carried, noise = (
        np.repeat(column[:, None], depth, 1)
        for column in (value - other, carried, eps * np.maximum(np.abs(value), np.abs(other)))
    )
    known: dict[tuple[int, float], Tensor] = {}

    def at(rows: Ints, places: Ints, nodes: Floats) -> Tensor:
        """phi of some layers, by their place in `layers`, at points of the inputs' paths, [n,T]."""
        keys = list(zip(rows.tolist(), nodes.tolist(), strict=True))
        new = sorted(set(keys) - known.keys())
        for wave in (new[i : i + WAVE] for i in range(0, len(new), WAVE)):
            phi = run.along_input(k, wave)
            known.update({key: phi[:, i] for i, key in enumerate(wave)})
        return torch.stack([known[key][layers[place]] for key, place in zip(keys, places.tolist(), strict=True)])

    row, place = (index.ravel() for index in np.indices((batch, depth)))
    both = torch.stack([at(row, place, np.full(len(row), a)) for a in (0.0, 1.0)])
    paths = Paths(ends=both, gap=carried.ravel(), noise=noise.ravel(), eps=eps, kinked=ends.kinked)
    integrals = rule.integrals(paths, [Start()] * len(row))
    while wanted := integrals.pending():
        integrals.add(at(row[wanted.path], place[wanted.path], wanted.node))
    now = integrals.estimates
    return Relevance(
        r=now.r.view(batch, depth, -1),
        coarse=now.coarse.view(batch, depth, -1),
        errors=Judgement(**{name: column.reshape(batch, depth) for name, column in vars(now.errors).items()}),
        nodes=now.nodes.reshape(batch, depth),
        ends=now.ends.reshape(batch, depth),
        gap=gap,
        carried=carried,
        noise=noise,
    )
