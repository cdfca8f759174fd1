"""Layer relevance r_l of a batch: which paths are integrated, how far, and with what error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..output import Scalar
from .calibration import Start
from .fixed import FixedPath
from .points import Ends, Engine, Point
from .quadrature import Estimate, Path
from .reference import Oracle
from .rules import FIXED
from .tap import Call

DEFAULT_INTERVALS = 128
DEFAULT_STEPS = 50
WAVE = 8  # points of a path in embedding space at a time: the graph of their second derivatives is large
AnyPath = Path | FixedPath
Weigh = Callable[["Relevance"], Tensor]


@dataclass(frozen=True)
class Rule:
    """How a path is integrated.

    Args:
        quadrature: "auto" (to a tolerance) or a fixed rule, see `rules.FIXED`.
        n_steps: the fixed rule's steps (None for 50); with "auto", the most intervals a path may use (None for 128),
            1 meaning the two end points alone.
        tolerance: relative error at which a path is converged.
    """

    quadrature: str = "auto"
    n_steps: int | None = None
    tolerance: float = 2e-2

    def __post_init__(self) -> None:
        if self.quadrature not in {"auto", *FIXED}:
            raise ValueError(f'quadrature: {self.quadrature!r} is not "auto" nor one of {FIXED}')
        if self.n_steps is not None and (isinstance(self.n_steps, bool) or not isinstance(self.n_steps, int)):
            raise TypeError(f"n_steps: expected an int of at least 1 or None, got {type(self.n_steps).__name__}")
        if self.n_steps is not None and self.n_steps < 1:
            raise ValueError(f"n_steps: expected at least 1, got {self.n_steps}")
        if not 0 < self.tolerance < float("inf"):
            raise ValueError(f"tolerance: expected a positive number, got {self.tolerance}")

    def path(self, gap: float, noise: float, start: Start, hold: bool = False) -> AnyPath:
        """A new path under this rule; with "auto" it begins at `start`, and with `hold` waits to be refined."""
        if self.quadrature == "auto":
            return Path(self.tolerance, self.n_steps or DEFAULT_INTERVALS, gap, noise, *start, hold=hold)
        return FixedPath(self.quadrature, self.n_steps or DEFAULT_STEPS, self.tolerance, gap, noise)


@dataclass(frozen=True)
class Relevance:
    """r_l of every chosen layer.

    Args:
        estimates: [B][L] the paths' answers.
        gap: [B,L] float64, F(x) - F(x').
    """

    estimates: list[list[Estimate]]
    gap: Tensor

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
    scalar: Scalar,
    ends: Ends,
    layers: Sequence[int],
    rule: Rule,
    starts: Sequence[Start],
    weigh: Weigh | None = None,
) -> tuple[Relevance, dict[tuple[int, int], AnyPath]]:
    """r_l by the straight path into each block; a zero hidden state is the reference where none was propagated.

    Args:
        engine: what evaluates the integrand.
        call: the model's arguments.
        scalar: F.
        ends: what the end points gave.
        layers: blocks whose inputs are integrated at.
        rule: how.
        starts: how each layer's paths begin.
        weigh: where the scores are to meet the tolerance and not every layer: what each layer's error does to them,
            from the relevance so far. The layers that do most are refined first.

    Returns:
        the relevance, and the paths by (input, layer).
    """
    batch = range(len(ends.value))
    low, at_zero = _low_ends(engine, call, scalar, ends, layers)
    paths: dict[tuple[int, int], AnyPath] = {}
    gaps = torch.zeros(len(batch), len(layers), dtype=torch.float64)
    for i, layer in enumerate(layers):
        high = _along_difference(ends, layer, ends.slopes[layer])
        gaps[:, i] = (ends.value.cpu() - at_zero[i]).double()
        noise = _noise(ends.value.cpu(), at_zero[i], ends.hidden[0].dtype)
        for b in batch:
            path = paths[b, layer] = rule.path(float(gaps[b, i]), noise, starts[i], weigh is not None)
            path.add([0.0, 1.0], torch.stack([low[i][b], high[b]]))
    while True:
        while wanted := [Point(layer, b, a) for (b, layer), path in paths.items() for a in path.pending()]:
            rows, _ = engine.phi(call, scalar, ends, wanted)
            _hand_out(paths, wanted, rows)
        found = Relevance([[paths[b, layer].estimate for layer in layers] for b in batch], gaps)
        if weigh is None or not _refine(paths, layers, weigh(found), rule.tolerance):
            return found, paths


def _refine(paths: dict[tuple[int, int], AnyPath], layers: Sequence[int], harm: Tensor, tolerance: float) -> bool:
    """Ask for finer nodes where the layers together harm an input's scores more than the tolerance; False where done.

    Args:
        harm: [B,L], relative error of the scores that each layer's error makes.
    """
    asked = False
    for b, row in enumerate(harm.tolist()):
        if sum(row) <= tolerance:
            continue
        # worst first; layers that do a fifth of the worst's harm will need it too, and a round has its price
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
        for i in order:
            if row[i] < 0.2 * row[order[0]]:
                break
            asked |= paths[b, layers[i]].refine()
    return asked


def _low_ends(
    engine: Engine, call: Call, scalar: Scalar, ends: Ends, layers: Sequence[int]
) -> tuple[list[Tensor], list[Tensor]]:
    """phi at a = 0 of every layer, [B,T] each, and F there, [B] each."""
    if ends.reference_slopes is not None and ends.reference_value is not None:
        found = [_along_difference(ends, layer, ends.reference_slopes[layer]) for layer in layers]
        return found, [ends.reference_value.cpu()] * len(layers)
    batch = len(ends.value)
    rows, values = engine.phi(call, scalar, ends, [Point(layer, b, 0.0) for layer in layers for b in range(batch)])
    return list(torch.split(rows, batch)), list(torch.split(values, batch))


def _along_difference(ends: Ends, layer: int, slopes: Tensor) -> Tensor:
    """<slope, h - h'> of every token, [B,T] float64."""
    difference = ends.hidden[layer].double()
    if ends.reference is not None:
        difference = difference - ends.reference[layer].double()
    return (difference * slopes.double()).sum(-1).cpu()


def _hand_out(paths: dict[tuple[int, int], AnyPath], points: Sequence[Point], rows: Tensor) -> None:
    """Give each path the values at its points, all of them at once."""
    mine: dict[tuple[int, int], list[int]] = {}
    for i, point in enumerate(points):
        mine.setdefault((point.row, point.layer), []).append(i)
    for key, indices in mine.items():
        paths[key].add([points[i].node for i in indices], rows[indices])


def input_paths(oracle: Oracle, call: Call, scalar: Scalar, ends: Ends, layers: Sequence[int], rule: Rule) -> Relevance:
    """Layer conductance: the path runs in embedding space, and every layer is integrated along its image."""
    if ends.reference is None or ends.reference_value is None:
        raise ValueError(
            'baselines: "conductance" integrates along one path in input space, and a zero hidden state at each layer '
            'is no such path; use baselines="pad" or another reference input'
        )
    known: dict[tuple[int, float], Tensor] = {}
    gap = (ends.value - ends.reference_value).cpu()
    noise = _noise(ends.value, ends.reference_value, ends.hidden[0].dtype)
    paths = {(b, layer): rule.path(float(gap[b]), noise, Start()) for layer in layers for b in range(len(gap))}
    while wanted := [Point(layer, b, a) for (b, layer), path in paths.items() for a in path.pending()]:
        new = sorted({(p.row, p.node) for p in wanted} - known.keys())
        for wave in (new[i : i + WAVE] for i in range(0, len(new), WAVE)):
            found = oracle.along_input(call, scalar, ends.reference[0], ends.hidden[0], wave).cpu()
            known.update({key: found[:, i] for i, key in enumerate(wave)})
        _hand_out(paths, wanted, torch.stack([known[p.row, p.node][p.layer] for p in wanted]))
    estimates = [[paths[b, layer].estimate for layer in layers] for b in range(len(gap))]
    return Relevance(estimates, gap[:, None].expand(-1, len(layers)))


def _noise(value: Tensor, other: Tensor, dtype: torch.dtype) -> float:
    """The size of a gap that rounding alone makes: a few units in the last place of the scalars it is taken from."""
    return float(8 * torch.finfo(dtype).eps * torch.cat([value, other]).abs().max())
