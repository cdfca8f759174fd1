"""Figures of one explanation, for papers and notebooks: its words or patches, and its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._utils.arguments import position
from ..results.attribution import Attribution
from . import colours
from .figures import (
    GREY,
    INK,
    LINE,
    MARGIN,
    OPACITY,
    WIDTH,
    bare,
    colourbar,
    figure_of,
    flow,
    font,
    heat,
    in_range,
    matrix,
    new_figure,
    number_patches,
    require_matplotlib,
    settle,
    short,
    title,
    warn_of_boxes,
)
from .one_input import Floats, Summary, signed, summarise
from .pictures import covered, covered_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANKED = 20
HEAT_WORDS = 40


def plot(
    attribution: Attribution,
    index: int = 0,
    percentile: float = colours.PERCENTILE,
    opacity: float = OPACITY,
    ax: Axes | None = None,
) -> Figure:
    """One input: its text highlighted over signed bars of its strongest words, or its image beside its patches.

    Args:
        attribution: of texts or images.
        index: which input.
        percentile: of the scores' magnitudes that is drawn at full colour, above 0 and at most 100.
        opacity: of the strongest score over an image, 0 to 1.
        ax: the caller's axes, for the bars of the words or the patches alone; None for a figure of its own.

    Returns:
        the figure; `savefig` writes it as PNG, SVG or PDF.

    Raises:
        ImportError: matplotlib is not installed.
        IndexError: no such input.
        TypeError: `ax` is no axes.
        ValueError: percentile or opacity out of range, or axes without a figure.
    """
    require_matplotlib()
    percentile, opacity = in_range(percentile, opacity)
    index = position("index", index, attribution.batch)
    summary = summarise(attribution, index, percentile)
    warn_of_boxes([summary.target, *summary.units])
    if ax is not None:
        figure = figure_of(ax)
        if attribution.grid is None:
            _strongest(ax, summary)
        else:
            _patches(ax, attribution, summary, covered(attribution, index), opacity)
        ax.set_title(title(summary), fontsize=9.5, color=INK, **font())
        return figure
    return _text(summary) if attribution.grid is None else _image(attribution, summary, index, opacity)


def plot_layers(attribution: Attribution, index: int = 0, percentile: float = colours.PERCENTILE) -> Figure:
    """Plot the relevance over the blocks: words by blocks with each block's total, or one patch map for each block.

    Args:
        attribution: of texts or images.
        index: which input.
        percentile: of the scores' magnitudes that is drawn at full colour, above 0 and at most 100.

    Returns:
        the figure.

    Raises:
        ImportError: matplotlib is not installed.
        IndexError: no such input.
        ValueError: the attribution holds no layer scores, or percentile is out of range.
    """
    require_matplotlib()
    percentile, _ = in_range(percentile, OPACITY)
    summary = summarise(attribution, index, percentile)
    if not summary.layers:
        raise ValueError("plot_layers: this attribution holds no layer scores; use plot, or a method that keeps them")
    warn_of_boxes([summary.target, *summary.units])
    return _word_layers(summary) if attribution.grid is None else _patch_layers(attribution, summary)


def _text(summary: Summary) -> Figure:
    bars = 0.24 * max(min(len(summary.units), RANKED), 1) + 0.6
    figure = new_figure(1.0)
    lines = flow(figure, summary)
    height = 0.45 + LINE * (lines + 1) + bars
    settle(figure, height, 0.75)
    figure.text(MARGIN / WIDTH, 1 - 0.28 / height, title(summary), fontsize=11, color=INK, weight="bold", **font())
    axes = figure.add_axes((0.22, 0.42 / height, 0.68, (bars - 0.55) / height))
    _strongest(axes, summary)
    return figure


def _strongest(axes: Axes, summary: Summary) -> None:
    """Signed bars of the strongest words with their numbers, in reading order from top to bottom."""
    scores = np.nan_to_num(summary.values[0])
    chosen = np.sort(np.argsort(-np.abs(scores), kind="stable")[:RANKED])
    values, names = scores[chosen], [short(summary.units[i]) for i in chosen]
    shades = [colours.hexadecimal(colours.SUPPORT if v > 0 else colours.OPPOSE) for v in values]
    axes.barh(np.arange(len(values)), values, color=shades, height=0.7)
    axes.set_yticks(np.arange(len(values)), names, **font())
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    span = (high - low) or 1.0
    for y, v in enumerate(values):
        side = "left" if v > 0 else "right"
        x = v + (0.006 if v > 0 else -0.006) * span
        axes.text(x, y, signed(float(v)), fontsize=8, color=GREY, va="center", ha=side)
    axes.set_xlim(low - 0.13 * span, high + 0.13 * span)
    axes.set_xlabel("score: opposes (orange) or supports (blue)", fontsize=9, color=GREY)
    bare(axes)


def _image(attribution: Attribution, summary: Summary, index: int, opacity: float) -> Figure:
    figure = new_figure(4.2)
    pixels = covered(attribution, index)
    panels = figure.subplots(1, 1 if pixels is None else 2, squeeze=False)[0]
    figure.subplots_adjust(left=0.02, right=0.87, top=0.88, bottom=0.03, wspace=0.08)
    if pixels is not None:
        panels[0].imshow(pixels)
        panels[0].set_axis_off()
        figure.text(0.87, 0.005, covered_size(attribution), fontsize=7, color=GREY, ha="right")
    _patches(panels[-1], attribution, summary, pixels, opacity)
    colourbar(figure, (0.9, 0.1, 0.018, 0.7), summary.scales[0])
    figure.text(0.02, 0.93, title(summary), fontsize=11, color=INK, weight="bold", **font())
    return figure


def _patches(
    axes: Axes, attribution: Attribution, summary: Summary, pixels: NDArray[np.uint8] | None, opacity: float
) -> None:
    """The numbered patches in colour, over the image where there is one."""
    plane = _plane(attribution, summary.values[0])
    heat(axes, plane, summary.scales[0], pixels, opacity)
    number_patches(axes, (plane.shape[0], plane.shape[1]))


def _plane(attribution: Attribution, values: Floats) -> Floats:
    grid = attribution.grid
    return values if grid is None else values.reshape(grid.rows, grid.columns)


def _word_layers(summary: Summary) -> Figure:
    strength = np.abs(np.nan_to_num(summary.values)).max(axis=0) if summary.units else np.zeros(0)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:HEAT_WORDS])
    table = np.nan_to_num(summary.values[:, chosen])
    count, blocks = len(chosen), len(summary.layers)
    body = 0.2 * max(count, 3)
    height = body + 2.6
    figure = new_figure(height)
    left, wide, bottom = 0.2, 0.56, 0.5 / height
    _totals(figure.add_axes((left, (body + 0.85) / height, wide, 1.1 / height)), summary)

    blocks_axes = figure.add_axes((left, bottom, wide, body / height))
    matrix(blocks_axes, table[1:], summary.scales[1:])
    blocks_axes.set_yticks(np.arange(count) + 0.5, [short(summary.units[i]) for i in chosen], **font())
    blocks_axes.set_xticks(np.arange(blocks) + 0.5, [str(layer.index) for layer in summary.layers])
    blocks_axes.set_xlabel("block", fontsize=9, color=GREY)
    fused_axes = figure.add_axes((left + wide + 0.02, bottom, 0.05, body / height))
    matrix(fused_axes, table[:1], summary.scales[:1])
    fused_axes.set_xticks([0.5], [_first(summary)])
    fused_axes.set_xlabel(f"\u00b1{summary.scales[0]:.2g}", fontsize=8, color=GREY)
    bar = min(2.0, body * 0.7)
    colourbar(figure, (0.9, bottom + 0.2 / height, 0.018, bar / height), summary.scales[1])
    text = title(summary)
    if count < len(summary.units):
        text += f"\n{count} strongest of {len(summary.units)} words, in reading order"
    figure.text(0.02, 1 - 0.15 / height, text, fontsize=10.5, color=INK, va="top", **font())
    return figure


def _totals(axes: Axes, summary: Summary) -> None:
    """The sum of each block's scores as a bar, and its exact value as a mark."""
    sums = np.nan_to_num(np.array([layer.total for layer in summary.layers]))
    place = np.arange(len(sums))
    shades = [colours.hexadecimal(colours.SUPPORT if v > 0 else colours.OPPOSE) for v in sums]
    axes.bar(place, sums, color=shades, width=0.7)
    gaps = [layer.gap for layer in summary.layers]
    axes.plot(place, gaps, "_", color=INK, markersize=16, label="gap F(x) - F(x')")
    axes.set_xlim(-0.5, len(sums) - 0.5)
    axes.margins(y=0.2)  # for the words over a bar
    axes.set_xticks([])
    axes.set_ylabel("sum", fontsize=9, color=GREY)
    axes.axhline(0, color=INK, linewidth=0.8)
    for x, layer in enumerate(summary.layers):
        if layer.converged is False:
            axes.annotate("not converged", (x, layer.total), fontsize=7, color=INK, ha="center", va="bottom")
    if np.isfinite(gaps).any():
        axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1.02), borderaxespad=0)
    bare(axes)


def _patch_layers(attribution: Attribution, summary: Summary) -> Figure:
    across = min(6, len(summary.values))
    down = -(-len(summary.values) // across)
    height = 1.45 * down + 0.7
    figure = new_figure(height)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    figure.subplots_adjust(left=0.02, right=0.89, top=1 - 0.65 / height, bottom=0.08 / height, wspace=0.08, hspace=0.22)
    for panel in panels:
        panel.set_axis_off()
    names = (
        _first(summary),
        *(f"{n}: {signed(x.total)}" for n, x in zip(summary.rows[1:], summary.layers, strict=True)),
    )
    for row, panel in enumerate(panels[: len(summary.values)]):
        heat(panel, _plane(attribution, summary.values[row]), summary.scales[row])
        late = row > 0 and summary.layers[row - 1].converged is False
        panel.set_title(names[row] + (" !" if late else ""), fontsize=8, color=INK, pad=3)
    colourbar(figure, (0.92, 0.3 / height, 0.016, min(2.0, height - 1.2) / height), summary.scales[1])
    figure.text(0.02, 1 - 0.12 / height, title(summary), fontsize=10.5, color=INK, va="top", weight="bold", **font())
    return figure


def _first(summary: Summary) -> str:
    return "fused" if summary.rows[0] == "all layers fused" else "scores"
