"""Words or patches over a data set: a page with a table of dots and a heatmap, and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..results.data_set import DataSetSummary, Places
from . import colours
from .figures import GREY, INK, bare, drawable, font, new_figure, palette, require_matplotlib, short, warn_of_boxes
from .html import environment
from .one_input import Floats, signed, visible
from .origin import origin
from .pictures import heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS = 400  # of a word on the page, evenly chosen from its sorted scores
COLUMNS = 200  # inputs of a heatmap, neighbours taken together
HEIGHT = 26


def page(shown: DataSetSummary, title: str | None = None) -> str:
    """A complete HTML page, in one file that loads nothing.

    Args:
        shown: from `calig_fast.summary`.
        title: of the page, None for the usual one.

    Returns:
        the document; write it as UTF-8.
    """
    largest = _largest(shown)
    longest = max((p.importance for run in shown.places for p in run), default=0.0) or 1.0
    rows = [
        {
            "name": visible(unit),
            "runs": [
                {
                    "count": len(run[i].scores),
                    "mean": run[i].mean,
                    "importance": run[i].importance,
                    "width": round(100 * run[i].importance / longest, 1),
                    "dots": _dots(run[i], largest),
                }
                for run in shown.places
            ],
        }
        for i, unit in enumerate(shown.units)
    ]
    return (
        environment()
        .get_template("data_set.html.j2")
        .render(
            title=None if title is None else visible(title),
            shown=shown,
            units="patches" if shown.unit == "patch" else f"{shown.unit}s",
            names=[visible(n) for n in shown.names],
            rows=rows,
            end=f"{largest:.2g}",
            heatmaps=[heat(table(run, n), largest) for run, n in zip(shown.places, shown.inputs, strict=True)],
            origin=origin(shown.models),
            colours=colours,
            steps=0,  # no words are coloured
            height=HEIGHT,
        )
    )


def table(run: tuple[Places, ...], inputs: int) -> Floats:
    """The sum of each unit's scores in each input, or the strongest of neighbouring inputs [units, columns].

    Args:
        run: the places of each unit.
        inputs: of the run.
    """
    whole = np.zeros((len(run), max(inputs, 1)))
    for i, places in enumerate(run):
        np.add.at(whole[i], places.inputs, places.scores)
    parts = np.array_split(whole, min(whole.shape[1], COLUMNS), axis=1)
    return np.stack([p[np.arange(len(p)), np.abs(p).argmax(1)] for p in parts], axis=1)


def spread(values: Floats, width: float) -> Floats:
    """Heights in [-1, 1] of dots at these values, so that dots nearer than `width` do not lie on each other."""
    heights = np.zeros(len(values))
    last: dict[int, int] = {}
    for i in np.argsort(values, kind="stable"):
        cell = round(float(values[i]) / width) if width else 0
        n = last[cell] = last.get(cell, -1) + 1
        heights[i] = (n + 1) // 2 * (1 if n % 2 else -1)
    return heights / max(float(np.abs(heights).max(initial=0.0)), 4.0)


def _largest(shown: DataSetSummary) -> float:
    every = [p.scores for run in shown.places for p in run]
    return colours.robust_scale(np.concatenate(every) if every else np.zeros(0))


def _dots(places: Places, largest: float) -> list[dict[str, Any]]:
    """x in per cent, y in pixels, side, and the text of each dot."""
    chosen = np.argsort(places.scores, kind="stable")
    if len(chosen) > DOTS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, DOTS).astype(int)]
    values = colours.normalise(places.scores[chosen], largest)
    heights = spread(values, 0.02)
    return [
        {
            "x": round(50 + 48 * float(v), 1),
            "y": round(HEIGHT / 2 - float(h) * (HEIGHT / 2 - 4), 1),
            "side": "support" if v > 0 else "oppose",
            "text": f"input {places.inputs[c]}: {signed(float(places.scores[c]))}",
        }
        for c, v, h in zip(chosen, values, heights, strict=True)
    ]


def plot(shown: DataSetSummary, kind: str) -> Figure:
    """A figure of one kind, the runs side by side.

    Args:
        shown: from `calig_fast.summary`.
        kind: "beeswarm", "bar" or "heatmap".

    Returns:
        the figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib()
    warn_of_boxes([*shown.units, *map(visible, shown.names)])
    body = 0.24 * max(len(shown.units), 2)
    figure = new_figure(body + 1.3)
    panels = figure.subplots(1, len(shown.names), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(0.2, 0.65 / (body + 1.3), 0.97, 1 - 0.6 / (body + 1.3), wspace=0.12)
    draw = {"beeswarm": _beeswarm, "bar": _bar, "heatmap": _heatmap}[kind]
    for axes, name, run, inputs in zip(panels, shown.names, shown.places, shown.inputs, strict=True):
        draw(axes, run, inputs, _largest(shown))
        many = f"{inputs} input{'' if inputs == 1 else 's'}"
        axes.set_title(f"{short(visible(name), 30)}: {many}" if name else many, fontsize=9.5, color=INK, **font())
        bare(axes)
    names = [drawable(short(visible(unit))) for unit in shown.units]
    panels[0].set_yticks(np.arange(len(names)), names, **font())
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _beeswarm(axes: Axes, run: tuple[Places, ...], inputs: int, largest: float) -> None:
    for row, places in enumerate(run):
        shades = [colours.hexadecimal(colours.SUPPORT if v > 0 else colours.OPPOSE) for v in places.scores]
        y = row - 0.38 * spread(places.scores, 0.04 * largest)
        axes.scatter(places.scores, y, s=9, c=shades, alpha=0.75, linewidths=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("score: opposes (left) or supports (right)", fontsize=9, color=GREY)


def _bar(axes: Axes, run: tuple[Places, ...], inputs: int, largest: float) -> None:
    shades = [colours.hexadecimal(colours.SUPPORT if p.mean > 0 else colours.OPPOSE) for p in run]
    axes.barh(np.arange(len(run)), [p.importance for p in run], color=shades, height=0.7)
    for row, places in enumerate(run):
        sign = "+" if places.mean > 0 else "\u2212"
        axes.text(places.importance, row, f" {sign} \u00d7{len(places.scores)}", fontsize=7, color=GREY, va="center")
    axes.margins(x=0.12)
    axes.set_xlabel("mean |score| an input, in the mean's colour", fontsize=9, color=GREY)


def _heatmap(axes: Axes, run: tuple[Places, ...], inputs: int, largest: float) -> None:
    values = colours.normalise(table(run, inputs), largest)
    extent = (0, max(inputs, 1), len(run) - 0.5, -0.5)
    axes.imshow(values, cmap=palette(), vmin=-1, vmax=1, aspect="auto", extent=extent, interpolation="nearest")
    axes.set_xlabel(f"input; full colour at \u00b1{largest:.2g}", fontsize=9, color=GREY)
