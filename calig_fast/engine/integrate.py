"""Layer relevance r_l of a batch: which paths are integrated, how far, and with what error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..output import Scalar
from .fixed import FixedPath
from .quadrature import Estimate, Path
from .reference import Ends, Oracle
from .rules import FIXED
from .tap import Call

DEFAULT_INTERVALS = 128
DEFAULT_STEPS = 50
WAVE = 8  # points of a path in embedding space at a time: the graph of their second derivatives is large
AnyPath = Path | FixedPath
Evaluate = Callable[[list[int], list[float]], Tensor]


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

    def path(self, gap: float, noise: float) -> AnyPath:
        """A new path under this rule."""
        if self.quadrature == "auto":
            return Path(self.tolerance, self.n_steps or DEFAULT_INTERVALS, gap, noise)
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


def layer_paths(oracle: Oracle, call: Call, scalar: Scalar, ends: Ends, layers: Sequence[int], rule: Rule) -> Relevance:
    """r_l by the straight path into each block; a zero hidden state is the reference where none was propagated.

    Args:
        oracle: the engine.
        call: the model's arguments.
        scalar: F.
        ends: what the end points gave.
        layers: blocks whose inputs are integrated at.
        rule: how.
    """
    columns, gaps = [], []
    for layer in layers:
        high = ends.hidden[layer]
        low = torch.zeros_like(high) if ends.reference is None else ends.reference[layer]
        batch = range(high.shape[0])

        def along(rows: list[int], nodes: list[float], layer: int = layer, low: Tensor = low) -> Tensor:
            return oracle.along_layer(call, scalar, layer, low, ends.hidden[layer], rows, nodes)[0]

        if ends.reference is None or ends.reference_slopes is None or ends.reference_value is None:
            first, at_zero = oracle.along_layer(call, scalar, layer, low, high, list(batch), [0.0] * len(batch))
        else:
            at_zero = ends.reference_value
            first = ((high - low).double() * ends.reference_slopes[layer].double()).sum(-1)
        last = ((high - low).double() * ends.slopes[layer].double()).sum(-1)
        gap = (ends.value - at_zero).cpu()
        paths = _paths(rule, gap, _noise(ends.value, at_zero, high.dtype))
        for b in batch:
            paths[b].add([0.0, 1.0], torch.stack([first[b], last[b]]).cpu())
        _run(paths, along)
        columns.append([p.estimate for p in paths])
        gaps.append(gap)
    return Relevance([list(row) for row in zip(*columns, strict=True)], torch.stack(gaps, 1))


def input_paths(oracle: Oracle, call: Call, scalar: Scalar, ends: Ends, layers: Sequence[int], rule: Rule) -> Relevance:
    """Layer conductance: the path runs in embedding space, and every layer is integrated along its image."""
    if ends.reference is None or ends.reference_value is None:
        raise ValueError(
            'baselines: "conductance" integrates along one path in input space, and a zero hidden state at each layer '
            'is no such path; use baselines="pad" or another reference input'
        )
    low, high = ends.reference[0], ends.hidden[0]
    known: dict[tuple[int, float], Tensor] = {}

    def along(layer: int, rows: list[int], nodes: list[float]) -> Tensor:
        new = [(b, a) for b, a in zip(rows, nodes, strict=True) if (b, a) not in known]
        for wave in (new[i : i + WAVE] for i in range(0, len(new), WAVE)):
            rows_new, nodes_new = [b for b, _ in wave], [a for _, a in wave]
            found = oracle.along_input(call, scalar, low, high, rows_new, nodes_new).cpu()
            known.update({key: found[:, i] for i, key in enumerate(wave)})
        return torch.stack([known[b, a][layer] for b, a in zip(rows, nodes, strict=True)])

    gap = (ends.value - ends.reference_value).cpu()
    columns = []
    for layer in layers:
        paths = _paths(rule, gap, _noise(ends.value, ends.reference_value, high.dtype))
        _run(paths, lambda rows, nodes, layer=layer: along(layer, rows, nodes))  # type: ignore[misc]
        columns.append([p.estimate for p in paths])
    return Relevance([list(row) for row in zip(*columns, strict=True)], gap[:, None].expand(-1, len(layers)))


def _noise(value: Tensor, other: Tensor, dtype: torch.dtype) -> float:
    """The size of a gap that rounding alone makes: a few units in the last place of the scalars it is taken from."""
    return float(8 * torch.finfo(dtype).eps * torch.cat([value, other]).abs().max())


def _paths(rule: Rule, gap: Tensor, noise: float) -> list[AnyPath]:
    return [rule.path(float(g), noise) for g in gap]


def _run(paths: Iterable[AnyPath], along: Evaluate) -> None:
    """Evaluate what the paths ask for, all of them at once, until none asks for more."""
    paths = list(paths)
    while True:
        wanted = [(b, a) for b, path in enumerate(paths) for a in path.pending()]
        if not wanted:
            return
        rows = along([b for b, _ in wanted], [a for _, a in wanted]).cpu()
        for b, path in enumerate(paths):
            mine = [i for i, (owner, _) in enumerate(wanted) if owner == b]
            if mine:
                path.add([wanted[i][1] for i in mine], rows[mine])
