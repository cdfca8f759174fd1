"""Figures of several explanations side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._utils.arguments import position
from ..results.comparison import Comparison
from .colours import PERCENTILE
from .figures import (
    GREY,
    INK,
    LINE,
    MARGIN,
    OPACITY,
    WIDTH,
    colourbar,
    flow,
    font,
    heat,
    in_range,
    matrix,
    new_figure,
    require_matplotlib,
    settle,
    short,
    title,
    warn_of_boxes,
)
from .one_input import Summary, strongest_of, summarise, visible
from .pictures import covered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = 30
ACROSS = 4


def plot_comparison(
    comparison: Comparison, index: int = 0, percentile: float = PERCENTILE, opacity: float = OPACITY
) -> Figure:
    """One input of several explanations: its text once for each over a table of the strongest words, or patch maps.

    Each explanation has its own scale, since methods' scores have different units: compare patterns, not shades.

    Args:
        comparison: from `compare`.
        index: which input.
        percentile: of each one's magnitudes that is drawn at full colour, above 0 and at most 100.
        opacity: of the strongest score over an image, 0 to 1.

    Returns:
        the figure.

    Raises:
        ImportError: matplotlib is not installed.
        IndexError: no such input.
        ValueError: percentile or opacity out of range.
    """
    require_matplotlib()
    percentile, opacity = in_range(percentile, opacity)
    index = position("index", index, len(comparison))
    summaries = [summarise(a, index, percentile) for a in comparison.attributions]
    warn_of_boxes([*map(visible, comparison.names), *(text for s in summaries for text in (s.target, *s.units))])
    if comparison.attributions[0].grid is None:
        return _texts(comparison, summaries, index)
    return _images(comparison, summaries, index, opacity)


def _texts(comparison: Comparison, summaries: list[Summary], index: int) -> Figure:
    same = comparison.same_input(index) and bool(summaries[0].units)
    figure = new_figure(1.0)
    line = 0
    for name, summary in zip(comparison.names, summaries, strict=True):
        heading = f"{short(name, 40)}   ({title(summary)}, full colour at \u00b1{summary.scales[0]:.2g})"
        figure.text(MARGIN / WIDTH, -LINE * line, heading, fontsize=9.5, color=INK, weight="bold", **font())
        line = flow(figure, summary, line + 1) + 1
    shown = min(WORDS, len(summaries[0].units)) if same else 0
    body = 0.2 * shown
    height = LINE * line + 0.3 + (body + 0.9 if shown else 0)
    settle(figure, height, 0.3)
    if shown:
        _table(figure, comparison.names, summaries, shown, (0.4 / height, body / height))
    return figure


def _table(
    figure: Figure, names: tuple[str, ...], summaries: list[Summary], shown: int, place: tuple[float, float]
) -> None:
    """The words that any explanation ranks highest, by explanation, at (bottom, height) of the figure."""
    strongest = strongest_of(summaries, shown)
    axes = figure.add_axes((0.22, place[0], min(0.72, 0.18 * len(names)), place[1]))
    matrix(axes, np.array(strongest.values), [s.scales[0] for s in summaries])
    axes.set_yticks(np.arange(shown) + 0.5, [short(summaries[0].units[i]) for i in strongest.units], **font())
    axes.set_xticks(np.arange(len(names)) + 0.5, [short(n, max(8, 60 // len(names))) for n in names], **font())
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel(f"{shown} strongest words of any, each column by its own scale", fontsize=8, color=GREY)


def _images(comparison: Comparison, summaries: list[Summary], index: int, opacity: float) -> Figure:
    first = comparison.attributions[0]
    alike = comparison.same_input(index) and first.images is not None
    across = min(ACROSS, len(summaries) + alike)
    down = -(-(len(summaries) + alike) // across)
    side = (WIDTH - 0.9) / across
    height = down * (side + 0.45) + 0.55
    figure = new_figure(height)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    figure.subplots_adjust(0.02, 0.1 / height, 0.88, 1 - 0.8 / height, wspace=0.05, hspace=0.3)
    for panel in panels:
        panel.set_axis_off()
    if alike and first.images is not None:
        panels[0].imshow(covered(first, index))
        panels[0].set_title("the image", fontsize=9, color=INK, pad=4)
    rest = panels[int(alike) :]
    for name, a, summary, panel in zip(comparison.names, comparison.attributions, summaries, rest, strict=False):
        pixels = covered(a, index)
        shape = (a.grid.rows, a.grid.columns) if a.grid else summary.values[0].shape
        heat(panel, summary.values[0].reshape(shape), summary.scales[0], pixels, opacity)
        label = short(name, 120 // across)
        if not alike and summary.target not in label:
            label += f": {short(summary.target)}"
        panel.set_title(f"{label}\n\u00b1{summary.scales[0]:.2g}", fontsize=8.5, color=INK, pad=4, **font())
    colourbar(figure, (0.91, 0.3 / height, 0.018, min(2.0, height - 1.6) / height), 1.0)
    heading = title(summaries[0]) if alike else "explanations side by side"
    figure.text(0.02, 1 - 0.12 / height, heading, fontsize=10.5, color=INK, va="top", weight="bold", **font())
    return figure
