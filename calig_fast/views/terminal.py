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

from ..attribution import Attribution
from . import colours
from .summary import Floats, Summary, percent, signed, summarise

Pixels = NDArray[np.uint8]

WORDS = 400
RANKED = 6
MARKS = 3
BARS = " ▁▂▃▄▅▆▇█"
SIGNS = {-2: "=", -1: "-", 0: ".", 1: "+", 2: "#"}


def render(attribution: Attribution, console: Console | None = None, layers: bool = True) -> None:
    """Print every input: classes, coloured words or patches, the strongest of them, and one line a block.

    Args:
        attribution: of texts or images.
        console: where to print; standard output by default. Without colours (no terminal, `NO_COLOR`) each strong word
            carries signed marks instead, `[+]` to `[+++]` and `[-]` to `[---]`.
        layers: whether to print the blocks.
    """
    console = Console() if console is None else console
    printer = _Printer(console)
    for index in range(len(attribution)):
        printer.show(attribution, index, layers)


class _Printer:
    """What a console can show decides how scores look on it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.encoding = console.encoding
        blocks = self.encoding.lower().startswith("utf")
        self.colour = console.color_system is not None and not console.no_color and blocks

    def show(self, attribution: Attribution, index: int, layers: bool) -> None:
        summary = summarise(attribution, index)
        self._print(self._heading(summary, f"input {index}" if len(attribution) > 1 else ""))
        self._print(self._legend(summary, words=attribution.grid is None))
        if attribution.grid is None:
            self._words(summary)
        else:
            pixels = None if attribution.images is None else attribution.images[index].cpu().numpy()
            self._pictures(summary, (attribution.grid.rows, attribution.grid.columns), pixels, layers)
        if summary.apart:
            parts = (f"{n} {signed(float(v))}" for n, v in zip(summary.apart, summary.apart_values[0], strict=True))
            self._print(self._text("apart from the ranking: " + "   ".join(parts), Style(dim=True)))
        self._print(self._ranking(summary))
        if layers and summary.layers:
            self._print(self._layers(summary, strips=attribution.grid is None))
        self._print(self._text(summary.statement, self._ink(summary.converged)))
        self.console.print()

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
        marks = f"[+] supports, [-] opposes, [+++] is {scale} or more; " if words else f"full scale {scale}; "
        return Text(f"{marks}maps: # strong and + weak support, - weak and = strong opposition", "dim")

    def _words(self, summary: Summary) -> None:
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
        self._print(Padding(line, (1, 2)))
        if len(summary.units) > WORDS:
            rest = signed(float(np.nansum(summary.values[0, WORDS:])))
            self._print(
                self._text(
                    f"The first {WORDS} of {len(summary.units)} words; the others add up to {rest} "
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
        zoom = max(1, min(28 // shape[0], 34 // shape[1]))
        large = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        cells: list[RenderableType] = []
        if pixels is not None and self.colour:
            cells.append(_thumbnail(pixels, shape[0] * zoom, shape[1] * zoom))
        cells.append(self._plane(planes[0].repeat(zoom, 0).repeat(zoom, 1) if self.colour else planes[0]))
        large.add_row(*cells)
        self._print(Padding(large, (1, 2)))
        if layers and len(planes) > 1:
            across = max(1, (self.console.width - 2) // (max(shape[1], len("block 00")) + 2))
            for first in range(1, len(planes), across):
                strip = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
                shown = range(first, min(first + across, len(planes)))
                strip.add_row(*[Group(Text(f"block {r - 1}", "dim"), self._plane(planes[r])) for r in shown])
                self._print(Padding(strip, (0, 0, 1, 2)))

    def _plane(self, plane: Floats) -> Text:
        """Normalised scores [rows, columns]: two rows a line as half-blocks, or a line of marks a row."""
        if not self.colour:
            return Text("\n".join("".join(SIGNS[round(v * 2)] for v in row) for row in plane.tolist()))
        return _half_blocks([[colours.blend(v, colours.DARK) for v in row] for row in plane.tolist()])


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
