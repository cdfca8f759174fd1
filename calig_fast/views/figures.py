"""Drawing with matplotlib's Figure objects alone, so that no global state changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.arguments import between, kind
from .._utils.warn import warn
from . import colours
from .one_input import Floats, Segment, Summary, leftwards, percent
from .pictures import hatched, smooth

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
SPACE = 0.055
BETWEEN = 0.03  # of two words without a space
INSIDE = 0.012  # of a word and its punctuation
SMALL = 16  # patches across, up to which their grid is drawn
UNDRAWN = "\u25a1"
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
    from .shown_figure import ShownFigure

    return ShownFigure(height, WIDTH)


def figure_of(ax: Axes) -> Figure:
    """The figure that holds the caller's axes.

    Raises:
        TypeError: `ax` is something else.
        ValueError: no figure holds it.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected matplotlib's Axes, as plt.subplots() returns them, got {kind(ax)}")
    figure: Any = ax.figure
    if figure is None:
        raise ValueError("ax: it was removed from its figure; pass axes that a figure holds")
    whole: Figure = figure.figure  # of a subfigure the figure that holds it
    return whole


def palette() -> LinearSegmentedColormap:
    """The palette of every view."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("calig", [colours.hexadecimal(colours.blend(v)) for v in (-1, 0, 1)])


def font() -> dict[str, Any]:
    """Words are data: never parsed as formulas, and drawn in an installed font that has their letters.

    matplotlib's `font.family` comes first.
    """
    return {"parse_math": False, "family": _families()}


def _families() -> list[str]:
    from matplotlib import rcParams
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    chosen = [name for name in rcParams["font.family"] if name in installed]
    return [*chosen, "DejaVu Sans", *(f for f in FONTS if f in installed)]


@cache
def _has(families: tuple[str, ...], letter: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return any(get_font(findfont(name)).get_char_index(ord(letter)) for name in families)


def drawable(text: str) -> str:
    """The text with a box for each letter that no installed font has; marks that none has are left out."""
    families = tuple(_families())

    def one(letter: str) -> str:
        if letter.isspace() or _has(families, letter):
            return letter
        return "" if unicodedata.category(letter) in {"Mn", "Me", "Cf"} else UNDRAWN

    return "".join(map(one, text))


def warn_of_boxes(texts: Iterable[str]) -> None:
    """Warn once for a figure where letters of its texts are drawn as boxes."""
    lost = sorted({c for text in texts for c in text if drawable(c) == UNDRAWN != c})
    if lost:
        warn(
            f"plot: no installed font has {len(lost)} letters of this figure, among them {' '.join(lost[:5])!r}, which "
            "are drawn as boxes; install a font that has them, or name one in matplotlib's rcParams['font.family']"
        )


def title(summary: Summary) -> str:
    """The title of a figure: the predicted class, the explained class, and the convergence."""
    text = f"explained: {summary.target}"
    if summary.predicted is not None:
        text = f"predicted: {summary.predicted.name} ({percent(summary.predicted.probability)}), {text}"
    return drawable(text + ("  (NOT converged)" if summary.converged is False else ""))


def bare(axes: Axes) -> None:
    """Axes without a frame or ticks."""
    axes.set_frame_on(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)


def flow(figure: Figure, summary: Summary, line: int = 0) -> int:
    """Write the words in reading direction, line by line, y in inches below line 0; returns the line after the last.

    Punctuation stays on the line of its word.
    """
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    values = colours.normalise(summary.values[0], summary.scales[0])
    segments = _shown(summary)
    from_right, style, x = leftwards("".join(s.text for s in segments)), font(), MARGIN
    for group in _together(segments):
        if not group:
            x += SPACE
            continue
        words = []
        for segment in group:
            value = 0.0 if segment.unit is None else float(values[segment.unit])
            shade = colours.hexadecimal(colours.blend(value, strength=colours.ON_LIGHT))
            box = {"facecolor": shade, "edgecolor": "none", "pad": 1}
            word = figure.text(
                0, 0, short(" ".join(segment.text.split()), 60), fontsize=10, color=INK, bbox=box, **style
            )
            words.append((word, word.get_window_extent(renderer).width / figure.dpi))
        if x + sum(width for _, width in words) > WIDTH - MARGIN and x > MARGIN:
            x, line = MARGIN, line + 1
        for word, width in words:
            word.set_position(((WIDTH - x - width if from_right else x) / WIDTH, -LINE * line))
            x += width + INSIDE
        x += BETWEEN
    for note in _left_out(summary):
        line += 1
        figure.text(MARGIN / WIDTH, -LINE * line, note, fontsize=9, color=GREY)
    return line + 1


def _together(segments: list[Segment]) -> list[list[Segment]]:
    """The segments in groups that are not divided: a word with its punctuation. An empty group is a space."""
    groups: list[list[Segment]] = []
    for segment in segments:
        text = segment.text.strip()
        if segment.unit is None and not text:
            groups.append([])
        elif (
            groups
            and groups[-1]
            and (_kinds(text) <= {"Pe", "Pf", "Po"} or _kinds(groups[-1][-1].text) <= {"Ps", "Pi"})
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _kinds(text: str) -> set[str]:
    return {unicodedata.category(c) for c in text.strip()} or {""}


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
    """Signed scores as colour, with stripes where they oppose; over an image their magnitude is the opacity."""
    rows, columns = plane.shape
    zoom = max(1, 224 // max(rows, columns))
    fine = colours.normalise(smooth(plane, zoom), scale)
    fine = hatched(fine) if zoom > 1 else fine
    axes.set_axis_off()
    extent = (0, columns, rows, 0)
    if pixels is None:
        axes.imshow(fine, cmap=palette(), vmin=-1, vmax=1, extent=extent)
        return
    aspect = pixels.shape[0] / rows / (pixels.shape[1] / columns)
    axes.imshow(pixels, extent=extent, aspect=aspect)
    sides = np.where((fine > 0)[..., None], colours.SUPPORT, colours.OPPOSE) / 255
    axes.imshow(np.concatenate([sides, opacity * np.abs(fine)[..., None]], axis=2), extent=extent, aspect=aspect)


def number_patches(axes: Axes, shape: tuple[int, int]) -> None:
    """Row and column numbers along a map of patches, and the lines between few of them."""
    axes.set_axis_on()
    axes.set_frame_on(False)
    for axis, count in ((axes.yaxis, shape[0]), (axes.xaxis, shape[1])):
        numbers = np.arange(0, count, -(-count // 8))
        axis.set_ticks(numbers + 0.5, [str(n) for n in numbers])
        axis.set_ticks(np.arange(count + 1) if max(shape) <= SMALL else [], minor=True)
    axes.xaxis.tick_top()
    axes.tick_params(which="both", length=0, labelsize=6.5, colors=GREY, pad=1.5)
    axes.grid(which="minor", color="#808080", linewidth=0.5, alpha=0.75)


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
    """The text, or the beginning of it, in letters that can be drawn."""
    text = drawable(text)
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"
