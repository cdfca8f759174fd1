"""An explanation as one HTML page or notebook fragment: nothing is loaded, everything is shown without scripts too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..attribution import Attribution
from . import colours
from .pictures import heat, photograph
from .summary import Floats, Summary, percent, signed, summarise, visible

STEPS = 10
RANKED = 8
STRIP = 240
NOTEBOOK_INPUTS = 20


@dataclass(frozen=True)
class _Bar:
    """One line of a ranking: its width is per cent of the largest score of that view."""

    unit: int
    name: str
    score: str
    width: float


@dataclass(frozen=True)
class _View:
    """What the slider moves through: the fused scores, then every block."""

    name: str
    scale: str
    supporting: list[_Bar]
    opposing: list[_Bar]
    apart: list[tuple[str, str]]
    picture: str


def page(attribution: Attribution) -> str:
    """A complete HTML page of every input, in one file that loads nothing.

    Args:
        attribution: of texts or images.

    Returns:
        the document; write it as UTF-8.
    """
    return _render("page.html.j2", attribution, len(attribution))


def fragment(attribution: Attribution) -> str:
    """The same content as an HTML element for a notebook: styles reach nothing outside it.

    Args:
        attribution: of texts or images; the first 20 inputs are shown, and the rest is said to be left out.

    Returns:
        a `<div>` with its style and script.
    """
    return _render("fragment.html.j2", attribution, min(len(attribution), NOTEBOOK_INPUTS))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("calig_fast.views", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, percent=percent, error=_error)
    return environment


def _render(template: str, attribution: Attribution, count: int) -> str:
    return (
        _environment()
        .get_template(template)
        .render(
            method=visible(attribution.method),
            settings=visible(", ".join(f"{k} = {v}" for k, v in attribution.settings.items())),
            inputs=[_input(attribution, i) for i in range(count)],
            total=len(attribution),
            steps=STEPS,
            colours=colours,
        )
    )


def _input(attribution: Attribution, index: int) -> dict[str, Any]:
    summary = summarise(attribution, index)
    grid, pixels = attribution.grid, attribution.images
    views = [_view(attribution, summary, row) for row in range(len(summary.values))]
    return {
        "index": index,
        "summary": summary,
        "views": views,
        "grid": grid,
        "image": None if pixels is None else photograph(pixels[index].cpu().numpy()),
        "levels": colours.levels(summary.values[0], summary.scales[0], STEPS).tolist(),
        "strips": []
        if grid
        else [_strip(row, scale) for row, scale in zip(summary.values, summary.scales, strict=True)],
        "data": {
            "names": [v.name for v in views],
            "scales": [v.scale for v in views],
            **({} if grid else _data(summary)),
        },
        "snippet": f"image of {grid.rows} x {grid.columns} patches" if grid else _snippet(summary),
    }


def _view(attribution: Attribution, summary: Summary, row: int) -> _View:
    values, grid = summary.values[row], attribution.grid
    supporting, opposing = summary.strongest(row, RANKED)
    largest = max((abs(float(values[i])) for i in supporting[:1] + opposing[:1]), default=1.0)

    def bars(units: list[int]) -> list[_Bar]:
        return [
            _Bar(i, summary.units[i], signed(float(values[i])), 100 * abs(float(values[i])) / largest) for i in units
        ]

    zoom = 1 if grid is None else max(1, 112 // max(grid.rows, grid.columns))
    plane = None if grid is None else values.reshape(grid.rows, grid.columns)
    return _View(
        name="all layers fused" if row == 0 else f"block {row - 1}",
        scale=f"{summary.scales[row]:.2g}",
        supporting=bars(supporting),
        opposing=bars(opposing),
        apart=[(name, signed(float(v))) for name, v in zip(summary.apart, summary.apart_values[row], strict=True)],
        picture="" if plane is None else heat(plane, summary.scales[row], zoom),
    )


def _data(summary: Summary) -> dict[str, Any]:
    """What the script needs to recolour the words and to answer a hover; the numbers are written here, once."""
    return {
        "levels": [
            colours.levels(row, scale, STEPS).tolist()
            for row, scale in zip(summary.values, summary.scales, strict=True)
        ],
        "values": [[signed(v) for v in row] for row in summary.values.tolist()],
        "pieces": {
            unit: [[name, [signed(float(v)) for v in summary.piece_values[:, t]]] for name, t in pieces]
            for unit, pieces in enumerate(summary.pieces)
            if len(pieces) > 1
        },
    }


def _strip(values: Floats, scale: float) -> str:
    """The scores in reading order as one line of colour; a long text keeps the strongest score of each stretch."""
    parts = np.array_split(np.nan_to_num(values), min(len(values), STRIP)) if len(values) else [np.zeros(1)]
    return heat(np.array([[p[np.abs(p).argmax()] for p in parts]]), scale)


def _snippet(summary: Summary) -> str:
    text = " ".join("".join(s.text for s in summary.segments[:60]).split())
    return text if len(text) <= 90 else text[:89] + "…"


def _error(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) else "-"
