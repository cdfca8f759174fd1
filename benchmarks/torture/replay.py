"""Other rules and estimates, tried on recorded paths: the package's own integration without the model.

    python -m benchmarks.torture replay FILE [--integrals MODULE:CLASS]

CLASS stands in the place of `AdaptiveIntegrals`: a subclass with another estimate, for example.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path as File
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.torture.dense import Interpolant
from benchmarks.torture.lies import SIZE, TOLERANCES, Claim, Setting, method_of, relative, settings, signals_of
from calig_fast.engines import layer_paths
from calig_fast.engines.base import EndpointGradients, Endpoints, PathPoints
from calig_fast.methods.base import Method, Signals
from calig_fast.methods.score_error import LayerErrors, combined
from calig_fast.pipeline import integrate as integration
from calig_fast.pipeline.integrate import Integration
from calig_fast.pipeline.options import Options
from calig_fast.pipeline.rounding import NARROW, measured, of_dtype
from calig_fast.quadrature.adaptive import AdaptiveIntegrals
from calig_fast.quadrature.estimate import Floats
from calig_fast.quadrature.warm_start import Calibration


@dataclass
class Recorded:
    """A run that answers from a recorded input.

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

    @property
    def row_bytes(self) -> int:
        """Bytes of a row; of no meaning here."""
        return 1

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the paths; F at h'_l is asked of `integrand`, as where no baseline was propagated."""
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
        return Endpoints(
            first=torch.zeros(1, tokens, 1, dtype=self.dtype),
            baseline_first=None,
            logits=None,
            scalars=[],
            slopes=[slopes],
            order=tuple(range(self.depth)),
            kinked=any(path["kinked"] for path in paths),
        )

    def integrand(self, points: PathPoints) -> tuple[Tensor, Tensor]:
        """phi [1,n,T] and F [1,n]; F is known at the low end alone."""
        wanted = list(zip(points.layer.tolist(), points.node.tolist(), strict=True))
        for layer, node in wanted:
            if (layer, node) not in self._known:
                self._known[layer, node] = self._at[layer]([node])[0]
        values = [self.one["value"] - self.one["paths"][layer]["gap"] for layer, _ in wanted]
        return torch.stack([self._known[one] for one in wanted])[None], torch.tensor([values], dtype=torch.float64)


class Replayer:
    """The integration of recorded inputs under one setting; later inputs start where earlier ones have shown.

    Args:
        setting: the way to call.
        integrals: the class of the integrals.
    """

    def __init__(self, setting: Setting, integrals: type[AdaptiveIntegrals] = AdaptiveIntegrals) -> None:
        self._setting, self._class = setting, integrals
        self._options = Options(method=setting.method, tolerance=setting.tolerance, certify=setting.certify)
        self._rounding: dict[int, Floats] = {}
        self._integration = Integration(Calibration())

    def learn(self) -> None:
        """Let later inputs start where those so far have shown, as an `Explainer` does after each call."""
        self._integration.learn()

    def measure(self, narrow: Recorded, exact: Recorded) -> None:
        """Measure the rounding of an input, as an `Explainer` does at its first calls."""
        known = self._rounding.get(narrow.depth, of_dtype(self._setting.dtype, narrow.depth))
        self._rounding[narrow.depth] = np.maximum(known, measured(narrow, exact))

    def claims(self, entry: dict[str, Any], run: Recorded) -> list[Claim]:
        """The claims for one entry of the file.

        Args:
            entry: as `Entry`.
            run: of its record in the setting's dtype.
        """
        setting, exact, one = self._setting, entry["record"], run.one
        method = method_of(setting.method, entry["images"])
        signals = [signals_of(torch.zeros_like(one["layer_scores"]), one["signals"])]
        options = replace(self._options, method=method)
        rounding = self._rounding.get(run.depth, of_dtype(setting.dtype, run.depth))
        with contextlib.ExitStack() as changed:
            changed.enter_context(patch.object(layer_paths, "AdaptiveIntegrals", self._class))
            if setting.certify != "scores":
                changed.enter_context(patch.object(integration, "score_errors", _nothing))
            integrated = self._integration.run(
                run,
                range(run.depth),
                signals,
                settings=options,
                kind="replay",
                rounding=rounding,
            )[0]
        if integrated is None:
            raise ValueError(f'method: "{setting.method}" integrates nothing')
        relevance = integrated.relevance
        errors, nodes = relevance.errors.error[0] + rounding, relevance.nodes[0]
        where = (entry["group"], entry["baseline"], setting.kind, setting.tolerance, entry["index"])
        if setting.certify == "scores":
            claimed = float(combined(integrated.effects)[0] + rounding.max())
            scores = method.scores(signals_of(relevance.r[0], one["signals"]))[0][0]
            return [
                Claim(
                    *where,
                    layer=-1,
                    claimed=claimed,
                    marked=claimed <= setting.tolerance,
                    true=relative(scores, _scores(method, exact)),
                    own=max(exact["own"]),
                    nodes=int(nodes.sum()),
                    rounded=None if one is exact else relative(scores, _scores(method, one)),
                )
            ]
        return [
            Claim(
                *where,
                layer=path["layer"],
                claimed=float(errors[i]),
                marked=bool(errors[i] <= setting.tolerance),
                true=relative(relevance.r[0, i], path["r"]),
                own=path["own"],
                nodes=int(nodes[i]),
                rounded=None if one is exact else relative(relevance.r[0, i], one["paths"][i]["r"]),
            )
            for i, path in enumerate(exact["paths"])
        ]


def _scores(method: Method, one: dict[str, Any]) -> Tensor:
    """[T], from the integrals of a record."""
    return method.scores(signals_of(one["layer_scores"], one["signals"]))[0][0]


def _nothing(method: Any, now: Signals, errors: LayerErrors, scores: Tensor) -> Floats:
    """No effect on the scores, where they are not looked at: to find it takes most of the time."""
    return np.zeros_like(errors.rule)


def load(file: File) -> list[dict[str, Any]]:
    """The entries of a file."""
    entries: list[dict[str, Any]] = torch.load(file, weights_only=False)
    return entries


def replay(
    entries: Sequence[dict[str, Any]],
    integrals: type[AdaptiveIntegrals] = AdaptiveIntegrals,
    tolerances: Sequence[float] = TOLERANCES,
    *,
    warm: bool = True,
) -> Iterator[Claim]:
    """The claims of every setting for every entry that has what it takes.

    Args:
        entries: of a file.
        integrals: the class of the integrals.
        tolerances: relative errors asked for.
        warm: start as an `Explainer` does that was called with a few inputs at a time; else as `explain` does.
    """
    replayers: dict[tuple[str, str, Setting], Replayer] = {}
    known = settings(tolerances)
    for call in _calls(entries):
        engines = [_engines(entry) for entry in call]
        for setting in known:
            wanted = {setting.dtype, torch.float32}
            usable = [(entry, runs) for entry, runs in zip(call, engines, strict=True) if wanted <= runs.keys()]
            one = replayers.setdefault((call[0]["group"], call[0]["baseline"], setting), Replayer(setting, integrals))
            if setting.dtype in NARROW:
                for _, runs in usable:
                    one.measure(runs[setting.dtype], runs[torch.float32])
            for entry, runs in usable:
                yield from one.claims(entry, runs[setting.dtype])
            if warm:
                one.learn()


def _calls(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The entries call by call."""
    for _, call in groupby(entries, lambda entry: (entry["group"], entry["baseline"], entry["index"] // SIZE)):
        yield list(call)


def _engines(entry: dict[str, Any]) -> dict[torch.dtype, Recorded]:
    """The runs that an entry has, by dtype."""
    return {
        dtype: Recorded(one, dtype)
        for dtype, one in ((torch.float32, entry["record"]), (torch.bfloat16, entry["rounded"]))
        if one and one["paths"] and all(bool(torch.isfinite(p["rows"]).all()) for p in one["paths"])
    }
