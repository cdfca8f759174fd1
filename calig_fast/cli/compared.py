"""Methods on the same inputs: explanation, faithfulness and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from .. import Attribution, Explainer, metrics
from ..metrics import Agreement, Erasure, Interval, PairedDifference
from .loading import Loaded

RANDOM = "random order"
MEASURES = ("comprehensiveness", "sufficiency", "difference", "log_odds")


@dataclass(frozen=True)
class Compared:
    """The results of one method.

    Args:
        name: of the method.
        attribution: its explanation; None for a random order.
        seconds: wall seconds for all inputs.
        erasure: its erasure metrics.
        intervals: mean and interval of each of `MEASURES`; None where fewer than two inputs are there.
        to_first: comprehensiveness - sufficiency beside the first method's on the same inputs, the same proviso.
    """

    name: str
    attribution: Attribution | None
    seconds: float | None
    erasure: Erasure
    intervals: dict[str, Interval | None]
    to_first: PairedDifference | None

    def mean(self, measure: str) -> float:
        """Mean over the inputs."""
        average: float = getattr(self.erasure, measure).mean()
        return average


def methods(
    loaded: Loaded, names: Sequence[str], baselines: str | None, removal: str | None
) -> tuple[list[Compared], Agreement]:
    """Explain the inputs by every method and measure each; a random order comes last.

    Args:
        loaded: model and inputs.
        names: of the methods.
        baselines: the baseline, None for the default.
        removal: the replacement of erased tokens, None for the default.

    Returns:
        the results of each, and Spearman's rank agreement of every two.
    """
    # not timed: the first call of a process takes 0.3 s more (a MiniLM, an EPYC), which is no method's
    Explainer(loaded.model, loaded.processor, method=names[0], baselines=baselines, n_steps=1)(loaded.inputs[:1])
    explainers = [Explainer(loaded.model, loaded.processor, method=name, baselines=baselines) for name in names]
    console = Console(stderr=True)
    compared: list[Compared] = []
    with Progress(transient=True, console=console, disable=not console.is_terminal) as bar:
        overall = bar.add_task("methods", total=len(names) + 1)
        one = bar.add_task("", total=None)

        def progress_of(name: str) -> Callable[[int, int], None]:
            bar.reset(one, description=f"explaining: {name}")
            return lambda done, total: bar.update(one, completed=done, total=total)

        def measure(name: str, scores: Any, a: Attribution | None, seconds: float | None) -> None:
            bar.reset(one, total=None, description=f"erasing: {name}")
            erased = metrics.erasure(loaded.model, loaded.inputs, scores, processor=loaded.processor, removal=removal)
            compared.append(_compared(name, a, seconds, erased, compared[0].erasure if compared else erased))
            bar.advance(overall)

        for name, explainer in zip(names, explainers, strict=True):
            started = time.perf_counter()
            a = explainer(loaded.inputs, target=loaded.target, progress=progress_of(name))
            measure(name, a, a, time.perf_counter() - started)
        first = compared[0].attribution
        if first is None:
            raise RuntimeError("no method was compared")
        measure(RANDOM, _random(first), None, None)
    explained = {c.name: c.attribution for c in compared if c.attribution is not None}
    return compared, metrics.agreement(explained)


def _random(like: Attribution) -> Attribution:
    """The attribution with random scores, the same every time."""
    noise = torch.rand(like.scores.shape, generator=torch.Generator().manual_seed(0))
    return replace(like, scores=noise.to(like.scores.device))


def _compared(name: str, a: Attribution | None, seconds: float | None, erased: Erasure, first: Erasure) -> Compared:
    def known(call: Callable[[], Any], values: Any) -> Any:
        return call() if int((~values.isnan()).sum()) > 1 else None

    intervals = {m: known(getattr(erased, m).interval, getattr(erased, m).values) for m in MEASURES}
    ours, theirs = erased.difference, first.difference
    paired = (
        known(lambda: metrics.paired_test(ours, theirs), ours.values - theirs.values) if erased is not first else None
    )
    return Compared(name, a, seconds, erasure=erased, intervals=intervals, to_first=paired)
