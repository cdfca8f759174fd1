"""The integration of one call: relevance of every layer, its errors, and their effect on the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from .._utils.host_copies import fetched, prefetch
from ..engines.autograd_run import AutogradRun
from ..engines.base import Run
from ..engines.layer_paths import Relevance, ScoreErrors, input_paths, layer_paths
from ..engines.mean_run import MeanRun
from ..methods.base import Scores, Signals
from ..methods.ranking import deciding_error
from ..methods.score_error import LayerErrors, allowed, combined, score_errors
from ..quadrature.adaptive import AdaptiveIntegrals, Integrals, Table
from ..quadrature.estimate import Floats, Ints
from ..quadrature.warm_start import Calibration, needs, trials
from .options import Options

ROUNDED = 0.75  # of the tolerance: where more of it is rounding, the rule would need many nodes for the rest
DECIDED = 0.99  # of the error that decides a ranking, so that rounding of its two sides does not undo it


@dataclass(frozen=True)
class Integrated:
    """The relevance of one scalar, and what is known of its errors.

    Args:
        relevance: r_l and its errors.
        scores: that the method makes of them, and layer scores.
        elsewhere: [B,L] float64, the sum of r_l over tokens that are padding.
        effects: relative error of the scores that each layer's error makes, [B,L].
    """

    relevance: Relevance
    scores: Scores
    elsewhere: Tensor
    effects: Floats


def _left(tolerance: float, rounding: Floats) -> Floats:
    """The part of the tolerance that rounding leaves to the rule; where that is little, the size of the rounding."""
    return np.where(rounding <= ROUNDED * tolerance, tolerance - rounding, rounding)


class _Tried(NamedTuple):
    """The evaluations of a call, the answers that other rules would have given on them, and if they sum to a gap."""

    tables: list[Table]
    columns: list[Tensor]
    complete: bool


class Integration:
    """The integrals of one call, group by group.

    Args:
        calibration: the best start of each layer's paths, from earlier calls.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._learned: list[tuple[str, Ints, Floats]] = []

    def learn(self) -> None:
        """Hand what this call learned to later ones."""
        for kind, layers, needed in self._learned:
            self._calibration.learn(kind, layers, needed)
        self._learned = []

    def run(
        self,
        run: Run,
        layers: Sequence[int],
        signals: Sequence[Signals],
        *,
        settings: Options,
        kind: str,
        rounding: Floats,
        content: Tensor | None = None,
    ) -> list[Integrated | None]:
        """Integrate at some layers for each scalar; None where the method integrates nothing.

        Args:
            run: the engine's run.
            layers: indices of the blocks.
            signals: of each scalar, without relevance.
            settings: the options.
            kind: the common properties of similar paths.
            rounding: of each layer's integrand [L]; what is left of the tolerance is the rule's.
            content: [B,T] bool, tokens that a guarantee of the ranking ranks.
        """
        method = settings.resolved
        if method.integral == "none":
            return [None] * len(signals)
        rule = replace(settings.rule, tolerances=_left(settings.tolerance, rounding))
        of_scores = float(_left(settings.tolerance, rounding.max()))
        last: dict[int, Integrated] = {}

        def integrated(k: int, relevance: Relevance) -> Integrated:
            errors = LayerErrors(
                coarse=relevance.coarse,
                **{name: getattr(relevance.errors, name) for name in ("rule", "disagreement", "missing", "error")},
            )
            seen = replace(signals[k], relevance=relevance.r * signals[k].mask[:, None])
            scores, elsewhere = method.scores(seen), (relevance.r * ~signals[k].mask[:, None]).sum(2)
            prefetch(*scores, elsewhere)
            last[k] = Integrated(relevance, scores, elsewhere, score_errors(method, seen, errors, scores[0]))
            return last[k]

        def weigh(k: int, relevance: Relevance) -> ScoreErrors:
            enough = np.full(len(relevance.gap), of_scores)
            now = integrated(k, relevance)
            if settings.k is not None and content is not None:
                decided = fetched(deciding_error(now.scores[0], content, settings.k))[0].numpy()
                enough = np.maximum(enough, DECIDED * decided - rounding.max())
            return ScoreErrors(now.effects, lambda left: combined(left) > enough)

        if method.integral == "input":
            if not isinstance(run, AutogradRun | MeanRun):
                raise RuntimeError("a path in input space runs on the autograd engine")
            return [integrated(k, of_scalar) for k, of_scalar in enumerate(input_paths(run, layers, rule))]
        kind, scores = f"{kind}|{settings.certify}", settings.certify != "layers"
        starts = [self._calibration.start(kind, layer) for layer in layers]
        relevance, integrals = layer_paths(run, layers, rule, starts=starts, weigh=weigh if scores else None)
        tolerances = np.broadcast_to(rule.tolerances, (len(relevance), *relevance[0].gap.shape)).copy()
        costs = np.array([run.endpoints.layers - layer - 0.5 for layer in layers])
        tried = _tried(integrals)
        for k, of_scalar in enumerate(relevance):
            if scores:  # the last that was weighed
                tolerances[k] = allowed(last[k].effects, of_scalar.errors.error, of_scores, costs)
            else:
                integrated(k, of_scalar)
        self._note(kind, tried, relevance, layers=np.array(layers), tolerances=tolerances)
        return [replace(last[k], relevance=of_scalar) for k, of_scalar in enumerate(relevance)]

    def embedding(self, run: Run, layer: int, settings: Options, *, kind: str, rounding: Floats) -> list[Relevance]:
        """Relevance of the first layer used for each scalar, by a run under rules of its own.

        Args:
            run: the engine's run.
            layer: index of the block.
            settings: the options.
            kind: the common properties of similar paths, the rules among them.
            rounding: of every layer's integrand [L].
        """
        rule = replace(settings.rule, tolerances=_left(settings.tolerance, rounding[[layer]]))
        relevance, integrals = layer_paths(run, [layer], rule, starts=[self._calibration.start(kind, layer)])
        tolerances = np.broadcast_to(rule.tolerances, (len(relevance), *relevance[0].gap.shape)).copy()
        self._note(kind, _tried(integrals), relevance, layers=np.array([layer]), tolerances=tolerances)
        return relevance

    def _note(
        self, kind: str, tried: _Tried, relevance: Sequence[Relevance], *, layers: Ints, tolerances: Floats
    ) -> None:
        """Note the intervals that the paths of this call needed, for `learn`."""
        gap, noise = (np.stack([getattr(r, name) for r in relevance]).ravel() for name in ("carried", "noise"))
        for table, column in zip(tried.tables, fetched(*tried.columns), strict=True):
            exact = gap[table.paths] if tried.complete else None
            limits = noise[table.paths], tolerances.ravel()[table.paths]
            blocks = layers[table.paths % len(layers)]
            self._learned.append((kind, blocks, needs(table, column.numpy(), exact, *limits)))


def _tried(integrals: Integrals) -> _Tried:
    """The answers of other rules on the nodes of a call; their copies to the host begin."""
    if not isinstance(integrals, AdaptiveIntegrals):
        return _Tried([], [], complete=False)
    tables = [*integrals.tables()]
    columns = [trials(table) for table in tables]
    prefetch(*columns)
    return _Tried(tables, columns, complete=integrals.complete)
