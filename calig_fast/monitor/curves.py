"""Numbers over training steps as lines of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 220, 84
SPAN = 0.02  # least span of the axis: noise below a hundredth is no curve


@dataclass(frozen=True)
class MonitorPlot:
    """One small chart, drawn on WIDTH by HEIGHT.

    Args:
        title: of the chart.
        low: value at the bottom.
        high: value at the top.
        lines: points of each unbroken line, as an SVG polyline wants them.
        dots: the same points one by one: x, y, and the text of a hover.
        last: the last value to three decimals, written out.
    """

    title: str
    low: str
    high: str
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float, str], ...]
    last: str


def monitor_plot(title: str, steps: Sequence[int], values: Sequence[float]) -> MonitorPlot:
    """The chart of values over steps, from the smallest value to the largest, and over SPAN at least.

    Args:
        title: of the chart.
        steps: of the looks, increasing.
        values: one a step; a value that is not finite leaves a gap.
    """
    finite = [v for v in values if math.isfinite(v)]
    bottom, top = _axis(finite or [0.0])
    span = max(1, steps[-1] - steps[0])
    points = [
        (
            round(WIDTH * (s - steps[0]) / span, 1),
            round(HEIGHT * (1 - (v - bottom) / (top - bottom)), 1),
            f"step {s}: {v:.3g}",
        )
        if math.isfinite(v)
        else None
        for s, v in zip(steps, values, strict=True)
    ]
    runs = [[p for p in run if p] for there, run in groupby(points, key=lambda p: p is not None) if there]
    return MonitorPlot(
        title=title,
        low=f"{bottom:.3g}",
        high=f"{top:.3g}",
        lines=tuple(" ".join(f"{x},{y}" for x, y, _ in run) for run in runs if len(run) > 1),
        dots=tuple(p for p in points if p),
        last=f"{round(finite[-1], 3):.3g}" if finite else "-",
    )


def _axis(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of the axis: those of the values, moved apart to SPAN, within [0, 1] where the values are."""
    least, most = min(values), max(values)
    wider = max(0.0, SPAN - (most - least)) / 2
    shift = max(0.0, wider - least) if least >= 0 else 0.0
    shift -= max(0.0, most + wider - 1) if most <= 1 else 0.0
    return least - wider + shift, most + wider + shift
