"""Figures for papers and notebooks: matplotlib's Figure objects alone, so no global state changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..attribution import Attribution
from . import colours
from .pictures import smooth
from .summary import Floats, Summary, percent, signed, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

WIDTH = 8.0
RANKED = 20
WORDS = 160
HEAT_WORDS = 40
INK = colours.hexadecimal(colours.INK)
GREY = "#626a78"
# Scripts that matplotlib's own font lacks, first installed first used.
FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Ethiopic", "Abyssinica SIL", "Noto Emoji")


def plot(attribution: Attribution, index: int = 0) -> Figure:
    """One input: its text highlighted over signed bars of its strongest words, or its image beside its patches.

    Args:
        attribution: of texts or images.
        index: which input.

    Returns:
        the figure; `savefig` writes it as PNG, SVG or PDF.

    Raises:
        ImportError: matplotlib is not installed.
        IndexError: no such input.
    """
    _require_matplotlib()
    summary = summarise(attribution, index)
    return _text(summary) if attribution.grid is None else _image(attribution, summary, index)


def plot_layers(attribution: Attribution, index: int = 0) -> Figure:
    """How relevance moves through the blocks: words by blocks with each block's total, or one patch map a block.

    Args:
        attribution: of texts or images.
        index: which input.

    Returns:
        the figure.

    Raises:
        ImportError: matplotlib is not installed.
        IndexError: no such input.
        ValueError: the attribution holds no layer scores.
    """
    _require_matplotlib()
    summary = summarise(attribution, index)
    if not summary.layers:
        raise ValueError("plot_layers: this attribution holds no layer scores; use plot, or a method that keeps them")
    return _word_layers(summary) if attribution.grid is None else _patch_layers(attribution, summary)


def _require_matplotlib() -> None:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'calig_fast[plots]'") from error


def _figure(height: float, width: float = WIDTH) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _palette() -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("calig", [colours.hexadecimal(colours.blend(v)) for v in (-1, 0, 1)])


def _font() -> dict[str, Any]:
    """Words are data: never read as formulas, and written with whatever installed font has their letters."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return {"parse_math": False, "family": ["DejaVu Sans", *(f for f in FONTS if f in installed)]}


def _title(summary: Summary) -> str:
    title = f"explained: {summary.target}"
    if summary.predicted is not None:
        title = f"predicted: {summary.predicted.name} ({percent(summary.predicted.probability)}), {title}"
    return title + ("  (NOT converged)" if summary.converged is False else "")


def _bare(axes: Axes) -> None:
    axes.set_frame_on(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)


def _text(summary: Summary) -> Figure:
    strength = np.abs(np.nan_to_num(summary.values[0]))
    chosen = np.sort(np.argsort(-strength, kind="stable")[:RANKED])
    bars = 0.24 * max(len(chosen), 1) + 0.6
    figure = _figure(1.0)
    lines = _flow(figure, summary)
    height = 0.45 + 0.26 * (lines + 1) + bars
    figure.set_size_inches(WIDTH, height)
    for text in figure.texts:
        text.set_y(text.get_position()[1] / height + 1 - 0.75 / height)
    figure.text(0.15 / WIDTH, 1 - 0.28 / height, _title(summary), fontsize=11, color=INK, weight="bold", **_font())

    axes = figure.add_axes((0.22, 0.42 / height, 0.68, (bars - 0.55) / height))
    values = np.nan_to_num(summary.values[0, chosen])
    shades = [colours.hexadecimal(colours.SUPPORT if v > 0 else colours.OPPOSE) for v in values]
    axes.barh(np.arange(len(chosen)), values, color=shades, height=0.7)
    axes.set_yticks(np.arange(len(chosen)), [_short(summary.units[i]) for i in chosen], **_font())
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    span = (high - low) or 1.0
    for y, v in enumerate(values):
        axes.text(
            v + (0.006 if v > 0 else -0.006) * span,
            y,
            signed(float(v)),
            fontsize=8,
            color=GREY,
            va="center",
            ha="left" if v > 0 else "right",
        )
    axes.set_xlim(low - 0.13 * span, high + 0.13 * span)
    axes.set_xlabel("score: opposes (orange) or supports (blue)", fontsize=9, color=GREY)
    _bare(axes)
    return figure


def _flow(figure: Figure, summary: Summary) -> int:
    """Write the words from left to right, line by line, y in inches below the first line; returns the lines used."""
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    values = colours.normalise(summary.values[0], summary.scales[0])
    font, left, x, line = _font(), 0.15, 0.15, 0
    shown = [s for s in summary.segments if s.unit is None or s.unit < WORDS]
    left_out = len(summary.units) - WORDS
    for segment in shown:
        if segment.unit is None and not segment.text.strip():
            x += 0.055
            continue
        value = 0.0 if segment.unit is None else float(values[segment.unit])
        box = {
            "facecolor": colours.hexadecimal(colours.blend(value, strength=colours.ON_LIGHT)),
            "edgecolor": "none",
            "pad": 1.5,
        }
        word = figure.text(0, 0, _short(segment.text.replace("\n", " "), 60), fontsize=10, color=INK, bbox=box, **font)
        width = word.get_window_extent(renderer).width / figure.dpi
        if x + width > WIDTH - left and x > left:
            x, line = left, line + 1
        word.set_position((x / WIDTH, -0.26 * line))
        x += width + 0.015
    if left_out > 0:
        line += 1
        note = f"... and {left_out} words more (they take part in the bars)"
        figure.text(left / WIDTH, -0.26 * line, note, fontsize=9, color=GREY)
    return line + 1


def _image(attribution: Attribution, summary: Summary, index: int) -> Figure:
    figure = _figure(4.2)
    pixels = None if attribution.images is None else attribution.images[index].cpu().numpy()
    panels = figure.subplots(1, 1 if pixels is None else 2, squeeze=False)[0]
    figure.subplots_adjust(left=0.02, right=0.87, top=0.88, bottom=0.03, wspace=0.04)
    if pixels is not None:
        panels[0].imshow(pixels)
    _heat(panels[-1], _plane(attribution, summary.values[0]), summary.scales[0], pixels)
    _colourbar(figure, (0.9, 0.1, 0.018, 0.7), summary.scales[0])
    for panel in panels:
        panel.set_axis_off()
    figure.text(0.02, 0.93, _title(summary), fontsize=11, color=INK, weight="bold", **_font())
    return figure


def _plane(attribution: Attribution, values: Floats) -> Floats:
    grid = attribution.grid
    return values if grid is None else values.reshape(grid.rows, grid.columns)


def _heat(axes: Axes, plane: Floats, scale: float, pixels: Any = None) -> None:
    """Signed scores as colour; over an image their magnitude is the opacity, and the image turns grey."""
    rows, columns = plane.shape
    fine = colours.normalise(smooth(plane, max(1, 224 // max(rows, columns))), scale)
    if pixels is None:
        axes.imshow(fine, cmap=_palette(), vmin=-1, vmax=1)
        return
    extent = (0, pixels.shape[1], pixels.shape[0], 0)
    axes.imshow(pixels.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=extent)
    sides = np.where((fine > 0)[..., None], colours.SUPPORT, colours.OPPOSE) / 255
    axes.imshow(np.concatenate([sides, 0.8 * np.abs(fine)[..., None]], axis=2), extent=extent)


def _colourbar(figure: Figure, place: tuple[float, float, float, float], scale: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.add_axes(place)
    bar = figure.colorbar(ScalarMappable(Normalize(-scale, scale), _palette()), cax=axes, extend="both")
    bar.ax.tick_params(labelsize=8, colors=INK)
    axes.set_title("supports", fontsize=8, color=GREY, pad=14)
    axes.set_xlabel("opposes", fontsize=8, color=GREY, labelpad=14)


def _word_layers(summary: Summary) -> Figure:
    strength = np.abs(np.nan_to_num(summary.values)).max(axis=0) if summary.units else np.zeros(0)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:HEAT_WORDS])
    names = [_short(summary.units[i]) for i in chosen]
    count, blocks = len(chosen), len(summary.layers)
    table = np.nan_to_num(summary.values[:, chosen])
    body = 0.2 * max(count, 3)
    height = body + 2.6
    figure = _figure(height)
    left, wide, bottom = 0.2, 0.56, 0.5 / height

    totals = figure.add_axes((left, (body + 0.85) / height, wide, 1.1 / height))
    place = np.arange(blocks)
    sums = np.array([layer.total for layer in summary.layers])
    shades = [colours.hexadecimal(colours.SUPPORT if v > 0 else colours.OPPOSE) for v in sums]
    totals.bar(place, np.nan_to_num(sums), color=shades, width=0.7)
    totals.plot(place, [layer.gap for layer in summary.layers], "_", color=INK, markersize=16, label="gap F(x) - F(x')")
    totals.set_xlim(-0.5, blocks - 0.5)
    totals.set_xticks([])
    totals.set_ylabel("sum", fontsize=9, color=GREY)
    totals.axhline(0, color=INK, linewidth=0.8)
    for layer in summary.layers:
        if layer.converged is False:
            totals.annotate(
                "not converged", (layer.index, layer.total), fontsize=7, color=INK, ha="center", va="bottom"
            )
    if any(np.isfinite(layer.gap) for layer in summary.layers):
        totals.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1.02), borderaxespad=0)
    _bare(totals)

    blocks_axes = figure.add_axes((left, bottom, wide, body / height))
    fused_axes = figure.add_axes((left + wide + 0.02, bottom, 0.05, body / height))
    for axes, rows, scale in ((blocks_axes, table[1:], summary.scales[1]), (fused_axes, table[:1], summary.scales[0])):
        mesh = colours.normalise(rows.T, scale)
        axes.pcolormesh(mesh, cmap=_palette(), vmin=-1, vmax=1, edgecolors="white", linewidth=0.4)
        axes.invert_yaxis()
        axes.set_yticks([])
        _bare(axes)
    blocks_axes.set_yticks(np.arange(count) + 0.5, names, **_font())
    blocks_axes.set_xticks(np.arange(blocks) + 0.5, [str(layer.index) for layer in summary.layers])
    blocks_axes.set_xlabel("block", fontsize=9, color=GREY)
    fused_axes.set_xticks([0.5], ["fused"])
    fused_axes.set_xlabel(f"\u00b1{summary.scales[0]:.2g}", fontsize=8, color=GREY)
    bar = min(2.0, body * 0.7)
    _colourbar(figure, (0.9, bottom + 0.2 / height, 0.018, bar / height), summary.scales[1])
    title = _title(summary)
    if count < len(summary.units):
        title += f"\n{count} strongest of {len(summary.units)} words, in reading order"
    figure.text(0.02, 1 - 0.15 / height, title, fontsize=10.5, color=INK, va="top", **_font())
    return figure


def _patch_layers(attribution: Attribution, summary: Summary) -> Figure:
    across = min(6, len(summary.values))
    down = -(-len(summary.values) // across)
    height = 1.45 * down + 0.7
    figure = _figure(height)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    figure.subplots_adjust(left=0.02, right=0.89, top=1 - 0.65 / height, bottom=0.08 / height, wspace=0.08, hspace=0.22)
    for panel in panels:
        panel.set_axis_off()
    for row, panel in enumerate(panels[: len(summary.values)]):
        _heat(panel, _plane(attribution, summary.values[row]), summary.scales[row])
        name = "fused" if row == 0 else f"block {row - 1}: {signed(summary.layers[row - 1].total)}"
        late = row > 0 and summary.layers[row - 1].converged is False
        panel.set_title(name + (" !" if late else ""), fontsize=8, color=INK, pad=3)
    _colourbar(figure, (0.92, 0.3 / height, 0.016, min(2.0, height - 1.2) / height), summary.scales[1])
    figure.text(0.02, 1 - 0.12 / height, _title(summary), fontsize=10.5, color=INK, va="top", weight="bold", **_font())
    return figure


def _short(text: str, limit: int = 18) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"
