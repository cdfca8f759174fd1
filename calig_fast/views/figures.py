"""Drawing with matplotlib's Figure objects alone, so that no global state changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.arguments import between
from . import colours
from .pictures import smooth
from .summary import Floats, Segment, Summary, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

WIDTH = 8.0
WORDS = 160
LINE = 0.26
MARGIN = 0.15
INK = colours.hexadecimal(colours.INK)
GREY = "#626a78"
OPACITY = 0.8
# How much of an image is left under its scores; the rest is white, so that both colours are visible on black too.
UNDER = 0.6
# Scripts that matplotlib's own font lacks, first installed first used.
FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Ethiopic", "Abyssinica SIL", "Noto Emoji")


def require_matplotlib() -> None:
    """Raise the error that names the extra."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'calig_fast[plots]'") from error


def in_range(percentile: float, opacity: float) -> tuple[float, float]:
    """Return the two as floats; raise if one of them is out of range."""
    return (
        between("percentile", percentile, "a number above 0 and at most 100", 0, 100, open_low=True),
        between("opacity", opacity, "a number from 0 to 1", 0, 1),
    )


def new_figure(height: float) -> Figure:
    """A white page WIDTH inches wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def palette() -> LinearSegmentedColormap:
    """The palette of every view."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("calig", [colours.hexadecimal(colours.blend(v)) for v in (-1, 0, 1)])


def font() -> dict[str, Any]:
    """Words are data: never parsed as formulas, and drawn in an installed font that has their letters."""
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    return {"parse_math": False, "family": ["DejaVu Sans", *(f for f in FONTS if f in installed)]}


def title(summary: Summary) -> str:
    """The title of a figure: the predicted class, the explained class, and the convergence."""
    text = f"explained: {summary.target}"
    if summary.predicted is not None:
        text = f"predicted: {summary.predicted.name} ({percent(summary.predicted.probability)}), {text}"
    return text + ("  (NOT converged)" if summary.converged is False else "")


def bare(axes: Axes) -> None:
    """Axes without a frame or ticks."""
    axes.set_frame_on(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)


def flow(figure: Figure, summary: Summary, line: int = 0) -> int:
    """Write the words from left to right, line by line, y in inches below line 0; returns the line after the last."""
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    values = colours.normalise(summary.values[0], summary.scales[0])
    style, x = font(), MARGIN
    for segment in _shown(summary):
        if segment.unit is None and not segment.text.strip():
            x += 0.055
            continue
        value = 0.0 if segment.unit is None else float(values[segment.unit])
        shade = colours.hexadecimal(colours.blend(value, strength=colours.ON_LIGHT))
        box = {"facecolor": shade, "edgecolor": "none", "pad": 1.5}
        text = short(" ".join(segment.text.split()), 60)
        word = figure.text(0, 0, text, fontsize=10, color=INK, bbox=box, **style)
        width = word.get_window_extent(renderer).width / figure.dpi
        if x + width > WIDTH - MARGIN and x > MARGIN:
            x, line = MARGIN, line + 1
        word.set_position((x / WIDTH, -LINE * line))
        x += width + 0.015
    for note in _left_out(summary):
        line += 1
        figure.text(MARGIN / WIDTH, -LINE * line, note, fontsize=9, color=GREY)
    return line + 1


def _shown(summary: Summary) -> list[Segment]:
    """The text up to word number WORDS, without text that the model did not read."""
    units = [i for i, s in enumerate(summary.segments) if s.unit is not None]
    end = units[WORDS] if len(units) > WORDS else units[-1] + 1 if summary.truncated and units else None
    return list(summary.segments[:end])


def _left_out(summary: Summary) -> list[str]:
    notes = []
    if len(summary.units) > WORDS:
        notes.append(f"... and {len(summary.units) - WORDS} words more, which take part in what is below")
    if summary.truncated:
        notes.append(f"The model did not read the last {summary.truncated} tokens of this text.")
    return notes


def settle(figure: Figure, height: float, top: float) -> None:
    """Give the figure its height, and its words, written in inches below line 0, their place `top` inches down."""
    figure.set_size_inches(WIDTH, height)
    for text in figure.texts:
        text.set_y(1 + (text.get_position()[1] - top) / height)


def heat(axes: Axes, plane: Floats, scale: float, pixels: Any = None, opacity: float = OPACITY) -> None:
    """Signed scores as colour; over an image their magnitude is the opacity, and the image turns grey and pale."""
    rows, columns = plane.shape
    fine = colours.normalise(smooth(plane, max(1, 224 // max(rows, columns))), scale)
    axes.set_axis_off()
    if pixels is None:
        axes.imshow(fine, cmap=palette(), vmin=-1, vmax=1)
        return
    extent = (0, pixels.shape[1], pixels.shape[0], 0)
    under = 255 * (1 - UNDER) + UNDER * pixels.mean(axis=2)
    axes.imshow(under, cmap="gray", vmin=0, vmax=255, extent=extent)
    sides = np.where((fine > 0)[..., None], colours.SUPPORT, colours.OPPOSE) / 255
    axes.imshow(np.concatenate([sides, opacity * np.abs(fine)[..., None]], axis=2), extent=extent)


def matrix(axes: Axes, rows: Floats, scales: Sequence[float]) -> None:
    """Signed scores [columns, words] as a table of colour, each column by its own scale, words from top to bottom."""
    mesh = np.stack([colours.normalise(row, scale) for row, scale in zip(rows, scales, strict=True)], axis=1)
    axes.pcolormesh(mesh, cmap=palette(), vmin=-1, vmax=1, edgecolors="white", linewidth=0.4)
    axes.invert_yaxis()
    axes.set_yticks([])
    bare(axes)


def colourbar(figure: Figure, place: tuple[float, float, float, float], scale: float) -> None:
    """The legend: colours from -scale to scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.add_axes(place)
    bar = figure.colorbar(ScalarMappable(Normalize(-scale, scale), palette()), cax=axes, extend="both")
    bar.ax.tick_params(labelsize=8, colors=INK)
    axes.set_title("supports", fontsize=8, color=GREY, pad=14)
    axes.set_xlabel("opposes", fontsize=8, color=GREY, labelpad=14)


def short(text: str, limit: int = 18) -> str:
    """The text, or the beginning of it."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"
