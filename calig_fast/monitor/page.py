"""The looks as one HTML page that loads nothing and needs no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from ..views import colours
from ..views.one_input import percent, signed, visible
from ..views.origin import origin
from ..views.pictures import heat, photograph
from .curves import HEIGHT, WIDTH, MonitorPlot, monitor_plot
from .history import History, Subject, shares_of
from .measures import Floats, Look

STEPS = 10
SHOWN = 12  # looks with a drawn text or picture
DRAWN = 120  # looks in a curve, and rows of the strip
COLUMNS = 240
NAMES = 24  # of columns that are written under a strip
ROW = 6  # pixels
LEAST = 3  # looks that a strip is drawn of
SAME = 0.05  # share of the relevance; a look that moved less from the last one drawn is not drawn

T = TypeVar("T")


class Strip(NamedTuple):
    """A picture of a look a line, the first on top; each name stands under so many columns."""

    columns: str
    picture: str
    height: int
    names: list[tuple[str, int]]


def page(histories: Sequence[History], share: float, certified: bool) -> str:
    """A complete HTML page of every probe over the steps.

    Args:
        histories: of the probes; those without a look are named as such.
        share: of the time that was spent on looks.
        certified: True if they met a tolerance, False if they show the endpoints alone.

    Returns:
        the document; write it as UTF-8.
    """
    return (
        _environment()
        .get_template("monitor.html.j2")
        .render(
            probes=[_probe(h) for h in histories],
            origin=origin(h.subject.model for h in histories if h.subject),
            looks=max((len(h.looks) for h in histories), default=0),
            share=share,
            certified=certified,
            steps=STEPS,
            colours=colours,
            width=WIDTH,
            height=HEIGHT,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("calig_fast.monitor", "templates"), PackageLoader("calig_fast.views", "templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, percent=percent, number=_number)
    return environment


def _probe(history: History) -> dict[str, Any]:
    subject = history.subject
    if subject is None:
        return {"name": visible(history.name), "looks": []}
    looks = spread(history.looks, DRAWN)
    shares = [shares_of(v) for v in history.values]
    scale = float(np.median([colours.robust_scale(row) for row in shares]))
    moved = _moved(history.looks, shares)
    return {
        "name": visible(history.name),
        "label": visible(history.looks[0].label),
        "looks": looks,
        "curves": _curves(looks),
        "strips": _strips(looks, [] if subject.grid else spread(shares, DRAWN), scale, subject.summary.units),
        "rows": [_row(history.looks[k], shares[k], subject, scale) for k in spread(moved, SHOWN)],
        "still": len(history.looks) - len(moved),
        "same": SAME,
        "segments": subject.summary.segments,
        "units": subject.summary.units,
        "grid": subject.grid,
        "image": None if subject.image is None else photograph(subject.image),
        "scale": f"{100 * scale:.2g} %",
    }


def _row(look: Look, shares: Floats, subject: Subject, scale: float) -> dict[str, Any]:
    """One look as it is drawn: the colours of its words, or its picture."""
    grid = subject.grid
    zoom = 1 if grid is None else max(1, 112 // max(grid.rows, grid.columns))
    return {
        "look": look,
        "levels": colours.levels(shares, scale, STEPS).tolist(),
        "told": [f"{signed(100 * v)} %" for v in shares.tolist()],
        "picture": "" if grid is None else heat(shares.reshape(grid.rows, grid.columns), scale, zoom),
    }


def _curves(looks: Sequence[Look]) -> list[MonitorPlot]:
    steps = [look.step for look in looks]
    shown = {
        "probability": "probability",
        "top-5 share": "top5",
        "entropy": "entropy",
        "drift from the last": "drift",
        "drift from the first": "drift_from_first",
        "on special tokens": "special",
        "depth": "depth",
        "delta": "delta",
    }
    made = [monitor_plot(title, steps, [float(getattr(look, name)) for look in looks]) for title, name in shown.items()]
    return [one for one in made if one.dots]


def _moved(looks: Sequence[Look], shares: Sequence[Floats]) -> list[int]:
    """Numbers of the looks that differ from the last one among them: in relevance or in the predicted class."""
    moved = [0]
    for k in range(1, len(looks)):
        distance = 0.5 * float(np.abs(shares[k] - shares[moved[-1]]).sum())
        if distance >= SAME or looks[k].predicted != looks[moved[-1]].predicted:
            moved.append(k)
    return moved if moved[-1] == len(looks) - 1 else [*moved, len(looks) - 1]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _strips(looks: Sequence[Look], shares: Sequence[Floats], scale: float, units: Sequence[str]) -> list[Strip]:
    """From three looks on: blocks over looks and, of a text, words over looks."""
    if len(looks) < LEAST:
        return []
    height = ROW * max(4, min(len(looks), DRAWN // 3))
    layers = np.array([look.layers for look in looks])
    top = colours.robust_scale(layers)
    blocks = [str(n + 1) for n in range(layers.shape[1])]
    columns = f"blocks, the first on the left; full colour is {percent(top)} of the relevance"
    strips = [Strip(columns, heat(layers, top), height, _under(blocks))]
    if shares and len(shares[0]):
        stretches = np.array_split(np.arange(len(shares[0])), min(COLUMNS, len(shares[0])))
        words = [units[s[0]] for s in stretches]
        columns = "words, in reading order" if len(words) <= NAMES else "words, in reading order; some are named"
        strips.append(Strip(columns, heat(_strongest(shares, stretches), scale), height, _under(words)))
    return strips


def _under(names: Sequence[str]) -> list[tuple[str, int]]:
    """At most NAMES names, each with the number of columns that it stands under the first of."""
    each = math.ceil(len(names) / NAMES)
    return [(names[k], min(each, len(names) - k)) for k in range(0, len(names), each)]


def _strongest(rows: Sequence[Floats], stretches: Sequence[NDArray[np.int64]]) -> Floats:
    """The strongest word [looks, stretches] of each stretch."""
    return np.array([[row[s][np.abs(row[s]).argmax()] for s in stretches] for row in rows])


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"
