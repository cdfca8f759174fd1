"""Other rules and estimates, tried on recorded paths: the package's own integration without the model.

    python -m benchmarks.torture replay FILE [--path MODULE:CLASS]

CLASS stands in the place of `AdaptiveIntegral`: a subclass with another estimate, for example.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as File
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.torture.dense import Interpolant
from benchmarks.torture.lies import SIZE, TOLERANCES, Claim, Setting, method_of, relative, settings, signals_of
from calig_fast import _pipeline
from calig_fast._options import Options
from calig_fast._pipeline import Memory, Pipeline
from calig_fast.engines import layer_paths
from calig_fast.engines.base import EndpointGradients, Endpoints, PathPoint
from calig_fast.methods.base import Method, Signals
from calig_fast.methods.score_error import LayerErrors, combined
from calig_fast.quadrature.adaptive import AdaptiveIntegral


@dataclass
class Recorded:
    """An engine that answers from a recorded input.

    Args:
        one: the record, as a dict of `record.Record`.
        dtype: that the rounding of a real engine would have.
    """

    one: dict[str, Any]
    dtype: torch.dtype

    def __post_init__(self) -> None:
        self._at = [Interpolant(path["edges"], path["rows"]) for path in self.one["paths"]]
        self._known = {(i, 0.0): path["low"] for i, path in enumerate(self.one["paths"])}

    @property
    def depth(self) -> int:
        """Layers."""
        return len(self.one["paths"])

    def ends(self) -> Endpoints:
        """The endpoints of the paths; F at h'_l is asked of `phi`, as where no baseline was propagated."""
        paths = self.one["paths"]
        tokens = len(paths[0]["r"])
        high = torch.stack([path["high"] for path in paths])[:, None]
        slopes = EndpointGradients(
            value=torch.tensor([self.one["value"]], dtype=torch.float64),
            baseline_value=None,
            high=high,
            low=None,
            product=high,
            maps=None,
            readout=torch.ones(1, tokens, dtype=torch.bool),
        )
        hidden = [torch.zeros(1, tokens, 1, dtype=self.dtype)] * self.depth
        kinked = any(path["kinked"] for path in paths)
        return Endpoints(hidden, None, None, [None], [slopes], kinked)  # type: ignore[list-item]

    def phi(self, call: Any, ends: Any, points: Sequence[PathPoint]) -> tuple[Tensor, Tensor]:
        """phi [1,n,T] and F [1,n]; F is known at the low end alone."""
        paths = self.one["paths"]
        for p in points:
            if (p.layer, p.node) not in self._known:
                self._known[p.layer, p.node] = self._at[p.layer]([p.node])[0]
        rows = [self._known[p.layer, p.node] for p in points]
        values = [self.one["value"] - paths[p.layer]["gap"] for p in points]
        return torch.stack(rows)[None], torch.tensor([values], dtype=torch.float64)


class Replayer:
    """The integration of recorded inputs under one setting; later inputs start where earlier ones have shown.

    Args:
        setting: the way to call.
        path: the class of the paths.
        most: intervals of a path, None for the package's.
    """

    def __init__(self, setting: Setting, path: type[AdaptiveIntegral] = AdaptiveIntegral, most: int | None = None):
        self._setting, self._path = setting, path
        options = Options(method=setting.method, tolerance=setting.tolerance, certify=setting.certify, n_steps=most)
        self._eps = torch.finfo(setting.dtype).eps
        self._options = options
        rule = replace(options.rule, tolerance=max(setting.tolerance - self._eps, self._eps))
        self._pipeline: Any = SimpleNamespace(_rule=rule, memory=Memory(), _traces=[], _kind="", engine=None)

    def learn(self) -> None:
        """Let later inputs start where those so far have shown, as an `Explainer` does after each call."""
        self._pipeline.memory.calibration.learn(self._pipeline._kind, self._pipeline._traces)
        self._pipeline._traces = []

    def claims(self, entry: dict[str, Any], engine: Recorded) -> list[Claim]:
        """The claims for one entry of the file.

        Args:
            entry: as `Entry`.
            engine: of its record in the setting's dtype.
        """
        setting, exact, one = self._setting, entry["record"], engine.one
        method = method_of(setting.method, entry["images"])
        self._pipeline.engine = engine
        signals = [signals_of(torch.zeros_like(one["layer_scores"]), one["signals"])]
        options = replace(self._options, method=method)
        unread = [] if setting.certify == "scores" else [patch.object(_pipeline, "score_errors", _nothing)]
        with contextlib.ExitStack() as changed:
            for one_patch in (patch.object(layer_paths, "AdaptiveIntegral", self._path), *unread):
                changed.enter_context(one_patch)
            found = Pipeline._integrate(
                self._pipeline, {}, engine.ends(), list(range(engine.depth)), signals, settings=options, kind="replay"
            )[0]
        if found is None:
            raise ValueError(f'method: "{setting.method}" integrates nothing')
        relevance, harms = found
        errors, nodes = relevance.column("error", torch.float64)[0] + self._eps, relevance.column("nodes", torch.int64)
        where = (entry["group"], entry["baseline"], setting.kind, setting.tolerance, entry["index"])
        if setting.certify == "scores":
            claimed = float(combined(harms)[0]) + self._eps
            scores = method.scores(signals_of(relevance.r[0], one["signals"]))[0][0]
            off, own = relative(scores, _scores(method, exact)), max(exact["own"])
            same = one if one is not exact else None
            beside = None if same is None else relative(scores, _scores(method, same))
            return [Claim(*where, -1, claimed, claimed <= setting.tolerance, off, own, int(nodes.sum()), beside)]
        return [
            Claim(
                *where,
                layer=path["layer"],
                claimed=float(errors[i]),
                marked=float(errors[i]) <= setting.tolerance,
                true=relative(relevance.r[0, i], path["r"]),
                own=path["own"],
                nodes=int(nodes[0, i]),
                rounded=None if one is exact else relative(relevance.r[0, i], one["paths"][i]["r"]),
            )
            for i, path in enumerate(exact["paths"])
        ]


def _scores(method: Method, one: dict[str, Any]) -> Tensor:
    """[T], from the integrals of a record."""
    return method.scores(signals_of(one["layer_scores"], one["signals"]))[0][0]


def _nothing(method: Any, now: Signals, errors: LayerErrors) -> Tensor:
    """No effect on the scores, where they are not looked at: to find it takes most of the time."""
    return torch.zeros_like(errors.rule)


def load(file: File) -> list[dict[str, Any]]:
    """The entries of a file."""
    found: list[dict[str, Any]] = torch.load(file, weights_only=False)
    return found


def replay(
    entries: Sequence[dict[str, Any]],
    path: type[AdaptiveIntegral] = AdaptiveIntegral,
    tolerances: Sequence[float] = TOLERANCES,
    *,
    warm: bool = True,
) -> Iterator[Claim]:
    """The claims of every setting for every entry that has what it takes.

    Args:
        entries: of a file.
        path: the class of the paths.
        tolerances: relative errors asked for.
        warm: start as an `Explainer` does that was called with a few inputs at a time; else as `explain` does.
    """
    replayers: dict[tuple[str, str, Setting], Replayer] = {}
    known = settings(tolerances)
    for i, entry in enumerate(entries):
        last = (i + 1 == len(entries)) or entries[i + 1]["index"] != entry["index"] + 1
        last = last or entries[i + 1]["index"] % SIZE == 0
        engines = {
            dtype: Recorded(one, dtype)
            for dtype, one in ((torch.float32, entry["record"]), (torch.bfloat16, entry["rounded"]))
            if one and one["paths"] and all(bool(torch.isfinite(p["rows"]).all()) for p in one["paths"])
        }
        for setting in known:
            if setting.dtype in engines:
                key = (entry["group"], entry["baseline"], setting)
                one = replayers.setdefault(key, Replayer(setting, path))
                yield from one.claims(entry, engines[setting.dtype])
                if warm and last:
                    one.learn()
