"""An explanation in the terminal: coloured where colours can be shown, with signed marks where they cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ..results.attribution import Attribution
from ..results.comparison import Comparison
from ..results.grouping import Grouped
from ..results.tokens import Grid
from . import colours
from .one_input import Floats, Summary, parts, percent, signed, strongest_of, summarise
from .pictures import covered

Pixels = NDArray[np.uint8]

WORDS = 400
RANKED = 6
COMPARED = 16
COLUMN = 38
MARKS = 3
BARS = " ▁▂▃▄▅▆▇█"
WORD_MARKS = "[+] supports, [-] opposes, [+++] is full scale or more"
MAP_MARKS = "maps: # strong and + weak support, - weak and = strong opposition"
SIGNS = {-2: "=", -1: "-", 0: ".", 1: "+", 2: "#"}


def render(shown: Attribution | Grouped, console: Console | None = None, layers: bool = True) -> None:
    """Print every input: classes, coloured words or patches, the strongest of them, and one line a block.

    Args:
        shown: of texts or images, or their scores by other units.
        console: where to print; standard output by default. Without colours (no terminal, `NO_COLOR`) each strong word
            carries signed marks instead, `[+]` to `[+++]` and `[-]` to `[---]`.
        layers: True to print the blocks.
    """
    console = Console() if console is None else console
    printer = _Printer(console)
    for index in range(parts(shown)[0].batch):
        printer.show(shown, index, layers)


def render_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print every input of several explanations: texts or patches in columns where they fit, and the strongest words.

    Args:
        comparison: from `compare`.
        console: where to print; standard output by default.
    """
    printer = _Printer(Console() if console is None else console)
    for index in range(len(comparison)):
        printer.compare(comparison, index)


class _Printer:
    """Prints scores in the form that the console can show."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.encoding = console.encoding
        blocks = self.encoding.lower().startswith("utf")
        self.colour = console.color_system is not None and not console.no_color and blocks

    def show(self, shown: Attribution | Grouped, index: int, layers: bool) -> None:
        attribution, summary = parts(shown)[0], summarise(shown, index)
        self._print(self._heading(summary, f"input {index}" if attribution.batch > 1 else ""))
        self._print(self._legend(summary, words=attribution.grid is None))
        if summary.note:
            self._print(Text(summary.note, "dim"))
        if attribution.grid is None:
            self._words(summary)
        else:
            pixels = covered(attribution, index)
            self._pictures(summary, (attribution.grid.rows, attribution.grid.columns), pixels, layers)
        if summary.apart:
            scores = (f"{n} {signed(float(v))}" for n, v in zip(summary.apart, summary.apart_values[0], strict=True))
            self._print(self._text("apart from the ranking: " + "   ".join(scores), Style(dim=True)))
        self._print(self._ranking(summary))
        if layers and summary.layers:
            self._print(self._layers(summary, strips=attribution.grid is None))
        self._print(self._text(summary.statement, self._ink(summary.converged)))
        self.console.print()

    def compare(self, comparison: Comparison, index: int) -> None:
        summaries = [summarise(a, index) for a in comparison.attributions]
        texts = comparison.attributions[0].grid is None
        cells = [
            Group(
                self._text(name, "bold"),
                self._heading(summary, ""),
                self._legend(summary, texts) if self.colour else Text(f"full scale {summary.scales[0]:.2g}", "dim"),
                Text(),
                self._highlighted(summary) if texts else self._picture(summary, a.grid, COLUMN),
                Text(),
            )
            for name, a, summary in zip(comparison.names, comparison.attributions, summaries, strict=True)
        ]
        if len(comparison) > 1:
            self._print(self._text(f"input {index}", "dim"))
        if not self.colour:
            self._print(Text(WORD_MARKS if texts else MAP_MARKS, "dim"))
        across = max(1, self.console.width // COLUMN)
        for first in range(0, len(cells), across):
            row = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False, expand=True)
            for _ in range(min(across, len(cells))):
                row.add_column(ratio=1)
            row.add_row(*cells[first : first + across])
            self._print(row)
        if texts and comparison.same_input(index):
            self._print(self._compared(comparison.names, summaries))
        for name, summary in zip(comparison.names, summaries, strict=True):
            self._print(self._text(f"{name}: {summary.statement}", self._ink(summary.converged)))
        self.console.print()

    def _compared(self, names: tuple[str, ...], summaries: list[Summary]) -> RenderableType:
        """The words that any of the explanations ranks highest, in reading order, with the score of each."""
        strongest = strongest_of(summaries, COMPARED)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("strongest of any", header_style="dim", max_width=24, overflow="fold")
        for name in names:
            table.add_column(self._text(name), header_style="bold", justify="right", overflow="fold")
        rows = zip(
            strongest.units, zip(*strongest.values, strict=True), zip(*strongest.levels, strict=True), strict=True
        )
        for unit, values, levels in rows:
            scores = [Text(signed(v), self._paint(x)) for v, x in zip(values, levels, strict=True)]
            table.add_row(self._text(summaries[0].units[unit]), *scores)
        return Padding(table, (0, 0, 1, 2))

    def _print(self, what: RenderableType) -> None:
        self.console.print(what, highlight=False)

    def _text(self, text: str, style: Style | str = "") -> Text:
        """Text the console's encoding can write."""
        return Text(text.encode(self.encoding, "backslashreplace").decode(self.encoding), style)

    def _ink(self, supports: bool | None) -> Style:
        if supports is None or not self.colour:
            return Style(bold=True)
        return Style(
            bold=True, color=colours.hexadecimal(colours.SUPPORT_ON_DARK if supports else colours.OPPOSE_ON_DARK)
        )

    def _paint(self, value: float) -> Style:
        """Background of a normalised score, with an ink that can be read on it."""
        if abs(value) < 0.08 or not self.colour:
            return Style()
        return Style(bgcolor=colours.hexadecimal(colours.blend(value, colours.DARK, colours.ON_DARK)), color="#ffffff")

    def _heading(self, summary: Summary, number: str) -> RenderableType:
        line = Text().append_text(self._text(f"{number}  " if number else "", "dim"))
        if summary.predicted is not None:
            line += self._text("predicted ") + self._text(summary.predicted.name, "bold")
            line += self._text(f" {percent(summary.predicted.probability)}   ")
        line += self._text("explained ") + self._text(summary.target, "bold")
        classes = summary.explained
        for c in classes:
            name = f"{c.name} " if len(classes) > 1 else ""
            line += self._text(f" {name}{percent(c.probability)} (logit {signed(c.logit)})")
        return line

    def _legend(self, summary: Summary, words: bool) -> Text:
        scale = f"{summary.scales[0]:.2g}"
        if self.colour:
            ramp = [Text("  ", self._paint(v)) for v in (-1, -0.6, -0.3, 0, 0.3, 0.6, 1)]
            return Text().join([Text(f"opposes -{scale} ", "dim"), *ramp, Text(f" +{scale} supports", "dim")])
        marks = f"{WORD_MARKS}; " if words else ""
        return Text(f"full scale {scale}; {marks}{MAP_MARKS}", "dim")

    def _highlighted(self, summary: Summary) -> Text:
        """The first words, each on the colour of its score, or with a mark."""
        values = colours.normalise(summary.values[0], summary.scales[0])
        marks = colours.levels(summary.values[0], summary.scales[0], MARKS)
        line = Text()
        for segment in summary.segments:
            if segment.unit is None:
                line += self._text(" " if segment.text.isspace() else " ".join(segment.text.split("\n")))
            elif segment.unit >= WORDS:
                break
            else:
                line += self._text(segment.text, self._paint(float(values[segment.unit])))
                mark = int(marks[segment.unit])
                if mark and not self.colour:
                    line += Text(f"[{('+' if mark > 0 else '-') * abs(mark)}]")
        return line

    def _words(self, summary: Summary) -> None:
        self._print(Padding(self._highlighted(summary), (1, 2)))
        if len(summary.units) > WORDS:
            rest = signed(float(np.nansum(summary.values[0, WORDS:])))
            self._print(
                self._text(
                    f"The first {WORDS} of {len(summary.units)} {summary.unit}s; the others add up to {rest} "
                    "and take part in the tables below.",
                    "dim",
                )
            )
        if summary.truncated:
            self._print(self._text(f"The model did not read the last {summary.truncated} tokens of this text.", "dim"))

    def _ranking(self, summary: Summary) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        supporting, opposing = summary.strongest(0, RANKED)
        for title in (f"supports {summary.target}", f"opposes {summary.target}"):
            table.add_column(self._text(title), header_style="bold", max_width=24, overflow="fold")
            table.add_column("", justify="right", no_wrap=True)
        for rank in range(max(len(supporting), len(opposing))):
            cells: list[Text] = []
            for units, supports in ((supporting, True), (opposing, False)):
                unit = units[rank] if rank < len(units) else None
                score = "" if unit is None else signed(float(summary.values[0, unit]))
                cells += [self._text("" if unit is None else summary.units[unit]), Text(score, self._ink(supports))]
            table.add_row(*cells)
        return Padding(table, (1, 0, 1, 2))

    def _layers(self, summary: Summary, strips: bool) -> RenderableType:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("block", justify="right")
        if strips:
            table.add_column("relevance in reading order", no_wrap=True)
        for name in ("sum", "delta", "error", "gradients", "ok"):
            table.add_column(name, justify="right", no_wrap=True)
        # The numbers beside the strip take 48 columns.
        width = max(8, min(len(summary.units), self.console.width - 48))
        for layer, values, scale in zip(summary.layers, summary.values[1:], summary.scales[1:], strict=True):
            error = f"{layer.error:.1e}" if math.isfinite(layer.error) else "-"
            table.add_row(
                str(layer.index),
                *([self._strip(values, scale, width)] if strips else []),
                signed(layer.total),
                signed(layer.delta),
                error,
                str(layer.n_steps),
                Text({True: "yes", False: "NO", None: "-"}[layer.converged], self._ink(layer.converged)),
            )
        return Padding(table, (0, 0, 1, 2))

    def _strip(self, values: Floats, scale: float, width: int) -> Text:
        """Scores in reading order, each cell the strongest of its stretch: height and colour, or a signed mark."""
        parts = np.array_split(np.nan_to_num(values), min(width, len(values))) if len(values) else []
        cells = colours.normalise(np.array([p[np.abs(p).argmax()] for p in parts], dtype=np.float64), scale)
        out = Text()
        for value in cells.tolist():
            if self.colour:
                bar = BARS[math.ceil(abs(value) * (len(BARS) - 1) - 1e-9)]
                out.append(bar, self._ink(value > 0))
            else:
                out.append(SIGNS[round(value * 2)])
        return out

    def _pictures(self, summary: Summary, shape: tuple[int, int], pixels: Pixels | None, layers: bool) -> None:
        planes = [
            colours.normalise(row.reshape(shape), scale)
            for row, scale in zip(summary.values, summary.scales, strict=True)
        ]
        zoom = _zoom(shape, 34)
        large = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        cells: list[RenderableType] = []
        if pixels is not None and self.colour:
            cells.append(_thumbnail(pixels, shape[0] * zoom, shape[1] * zoom))
        cells.append(self._large(planes[0], zoom))
        large.add_row(*cells)
        self._print(Padding(large, (1, 2)))
        if layers and len(planes) > 1:
            across = max(1, (self.console.width - 2) // (max(shape[1], len("block 00")) + 2))
            for first in range(1, len(planes), across):
                strip = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
                shown = range(first, min(first + across, len(planes)))
                strip.add_row(*[Group(Text(summary.rows[r], "dim"), self._plane(planes[r])) for r in shown])
                self._print(Padding(strip, (0, 0, 1, 2)))

    def _picture(self, summary: Summary, grid: Grid | None, width: int) -> Text:
        """The final scores of an image's patches, in a column of that width."""
        shape = (grid.rows, grid.columns) if grid else (1, len(summary.units))
        plane = colours.normalise(summary.values[0].reshape(shape), summary.scales[0])
        return self._large(plane, _zoom(shape, width - 4))

    def _large(self, plane: Floats, zoom: int) -> Text:
        return self._plane(plane.repeat(zoom, 0).repeat(zoom, 1) if self.colour else plane)

    def _plane(self, plane: Floats) -> Text:
        """Normalised scores [rows, columns]: two rows a line as half-blocks, or a line of marks a row."""
        if not self.colour:
            return Text("\n".join("".join(SIGNS[round(v * 2)] for v in row) for row in plane.tolist()))
        return _half_blocks([[colours.blend(v, colours.DARK) for v in row] for row in plane.tolist()])


def _zoom(shape: tuple[int, int], width: int) -> int:
    """Cells a patch: at most 28 rows and `width` columns."""
    return max(1, min(28 // shape[0], width // shape[1]))


def _thumbnail(pixels: Pixels, rows: int, columns: int) -> Text:
    """The image as half-blocks, each the mean of its stretch of pixels."""
    bands = [
        np.array_split(band, min(columns, band.shape[1]), axis=1)
        for band in np.array_split(pixels, min(rows, len(pixels)))
    ]
    means = np.array([[cell.mean(axis=(0, 1)) for cell in band] for band in bands]).astype(int)
    return _half_blocks([[(r, g, b) for r, g, b in row] for row in means.tolist()])


def _half_blocks(plane: list[list[colours.RGB]]) -> Text:
    lines = []
    for top in range(0, len(plane), 2):
        below: Sequence[colours.RGB | None] = plane[top + 1] if top + 1 < len(plane) else [None] * len(plane[top])
        line = Text()
        for upper, lower in zip(plane[top], below, strict=True):
            back = colours.hexadecimal(lower) if lower else None
            line.append("▀", Style(color=colours.hexadecimal(upper), bgcolor=back))
        lines.append(line)
    return Text("\n").join(lines)
