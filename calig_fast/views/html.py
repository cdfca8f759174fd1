"""An explanation as one HTML page or notebook fragment: it loads nothing, and shows everything without scripts too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..results.attribution import Attribution
from ..results.comparison import Comparison
from ..results.grouping import Grouped
from . import colours, context
from .one_input import Occurrences, Summary, leftwards, parts, percent, signed, strongest_of, summarise, visible
from .origin import origin
from .pictures import covered, covered_size, heat, photograph, strip
from .table import table_html

STEPS = 10
RANKED = 8
RANKED_BESIDE = 5
COMPARED = 20
STRIP = 240
LONG = 120  # units of a text, beyond which a line of density leads through it
SMALL = 16  # patches across, up to which their grid is drawn
NUMBERS = 8  # along an axis of patches, at most
UNSURE = 0.1  # share of the inputs that is called the least sure
PIECES = 12  # of a unit, beyond which the hover shows its score alone
NOTEBOOK_INPUTS = 20
NOTEBOOK_SCORES = 200_000  # of tokens and layers, beyond which a notebook shows a table
SCORES = -1
# Bytes of context maps, before base64: of one input, and of a page that has many.
CONTEXT = 512 * 1024
CONTEXT_PAGE = 4 * CONTEXT


@dataclass(frozen=True)
class _Bar:
    """One line of a ranking, a word with its units: its width is per cent of the largest score of that view."""

    units: tuple[int, ...]
    name: str
    score: str
    width: float


@dataclass(frozen=True)
class _View:
    """One position of the slider: the final scores (key -1), or a block (its number)."""

    key: int
    name: str
    scale: str
    supporting: list[_Bar]
    opposing: list[_Bar]
    picture: str


def page(shown: Attribution | Grouped, title: str | None = None) -> str:
    """A complete HTML page of every input, in one file that loads nothing.

    Args:
        shown: of texts or images, or their scores by other units; with `return_maps=True` a click on a word or patch
            shows its attention.
        title: of the page, None for the usual one.

    Returns:
        the document; write it as UTF-8.
    """
    attribution, grouped = parts(shown)
    one = Comparison((attribution.method,), (attribution,))
    return _render("page.html.j2", one, attribution.batch, grouped=grouped, title=title)


def fragment(attribution: Attribution) -> str:
    """The same content as an HTML element for a notebook: styles reach nothing outside it.

    Args:
        attribution: of texts or images; the first 20 inputs are shown, and the rest is said to be left out. Where
            these have more than 200,000 scores, a table of the inputs is shown.

    Returns:
        a `<div>` with its style and script.
    """
    count = min(attribution.batch, NOTEBOOK_INPUTS)
    if attribution.scores.is_meta or attribution.layer_scores[:count].numel() > NOTEBOOK_SCORES:
        return table_html(attribution)
    return _render("fragment.html.j2", Comparison((attribution.method,), (attribution,)), count)


def compare_page(comparison: Comparison, title: str | None = None) -> str:
    """A complete HTML page with the explanations of each input side by side: one slider moves all of them.

    Args:
        comparison: from `compare`.
        title: of the page, None for the usual one.

    Returns:
        the document; write it as UTF-8.
    """
    return _render("page.html.j2", comparison, len(comparison), title=title)


def compare_fragment(comparison: Comparison) -> str:
    """The same as an HTML element for a notebook; the first 20 inputs."""
    return _render("fragment.html.j2", comparison, min(len(comparison), NOTEBOOK_INPUTS))


@cache
def environment() -> Environment:
    """The templates of the pages, and the filters that write numbers."""
    made = Environment(
        loader=PackageLoader("calig_fast.views", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(signed=signed, percent=percent, error=_error)
    return made


def _render(
    template: str, shown: Comparison, count: int, *, grouped: Grouped | None = None, title: str | None = None
) -> str:
    budget = min(CONTEXT, CONTEXT_PAGE // max(1, count * len(shown.names)))
    first = shown.attributions[0]
    inputs = [_input(shown, i, budget, grouped) for i in range(count)]
    return (
        environment()
        .get_template(template)
        .render(
            beside=len(shown.names) > 1,
            columns=2 if len(shown.names) in (2, 4) else 3,
            names=[visible(n) for n in shown.names],
            title=None if title is None else visible(title),
            origin=origin((a.settings.model for a in shown.attributions), _counted(shown)),
            own=template == "fragment.html.j2",
            settings=visible(", ".join(f"{k} = {v}" for k, v in _flat(first.settings) if v is not None)),
            inputs=inputs,
            filters=_filters([i["summary"] for i in inputs]),
            total=len(shown),
            steps=STEPS,
            colours=colours,
        )
    )


def _counted(shown: Comparison) -> str:
    """The explained inputs in words."""
    first, count = shown.attributions[0], len(shown)
    kind = "image" if first.grid is not None else "text" if first.texts is not None else "input"
    size = "" if first.images is None else f" of {first.images.shape[1]} \u00d7 {first.images.shape[2]} pixels"
    return f"{count} {kind}{'' if count == 1 else 's'}{size}"


def _filters(summaries: list[Summary]) -> list[tuple[str, str, list[int]]]:
    """The filters of the overview: key, name, and places of the inputs that pass."""
    chances = [math.inf if s.predicted is None else s.predicted.probability for s in summaries]
    known = [i for i, chance in enumerate(chances) if math.isfinite(chance)]
    least = sorted(known, key=lambda i: chances[i])[: math.ceil(UNSURE * len(known))]
    wrong = [
        i for i, s in enumerate(summaries) if s.predicted and s.predicted.name != s.target and len(s.explained) == 1
    ]
    late = [i for i, s in enumerate(summaries) if s.converged is False]
    return [
        ("wrong", "label wrong (the predicted class is not the explained one)", wrong),
        ("late", "not converged", late),
        ("unsure", "least sure", least),
    ]


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings without their groups."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value


def _input(shown: Comparison, index: int, budget: int, grouped: Grouped | None) -> dict[str, Any]:
    panels = [
        _panel(name, grouped or a, index, budget, RANKED if len(shown.names) == 1 else RANKED_BESIDE)
        for name, a in zip(shown.names, shown.attributions, strict=True)
    ]
    names = {v.key: v.name for panel in reversed(panels) for v in panel["views"]}
    same = shown.same_input(index)
    return {
        "index": index,
        "panels": panels,
        "steps": sorted(names.items()),
        "same": same,
        "words": _table([p["summary"] for p in panels])
        if same and len(panels) > 1 and shown.attributions[0].grid is None
        else [],
        "snippet": panels[0]["snippet"],
        "summary": panels[0]["summary"],
        "error": float(shown.attributions[0].score_error[index]),
    }


def _panel(name: str, shown: Attribution | Grouped, index: int, budget: int, ranked: int) -> dict[str, Any]:
    attribution, summary = parts(shown)[0], summarise(shown, index)
    grid, pixels = attribution.grid, covered(attribution, index)
    views = [_view(attribution, summary, row, ranked) for row in range(len(summary.values))]
    return {
        "name": visible(name),
        "summary": summary,
        "views": views,
        "grid": grid,
        "image": None if pixels is None else photograph(pixels),
        "cover": covered_size(attribution),
        "axes": None if grid is None else (_numbers(grid.rows), _numbers(grid.columns)),
        "small": grid is not None and max(grid.rows, grid.columns) <= SMALL,
        "rtl": leftwards("".join(s.text for s in summary.segments)),
        "long": grid is None and len(summary.units) > LONG,
        "levels": colours.levels(summary.values[0], summary.scales[0], STEPS).tolist(),
        "strips": []
        if grid
        else [strip(row, scale, STRIP) for row, scale in zip(summary.values, summary.scales, strict=True)],
        "data": _data(attribution, summary, index, views, budget),
        "maps": attribution.maps is not None,
        "mappable": attribution.settings.fusion is not None,
        "snippet": f"image of {grid.rows} x {grid.columns} patches" if grid else _snippet(summary),
    }


def _view(attribution: Attribution, summary: Summary, row: int, ranked: int) -> _View:
    values, grid = summary.values[row], attribution.grid
    supporting, opposing = summary.words(row, ranked)
    largest = max((abs(word.score) for word in supporting[:1] + opposing[:1]), default=1.0)

    def bars(words: list[Occurrences]) -> list[_Bar]:
        return [_Bar(w.units, w.name, signed(w.score), 100 * abs(w.score) / largest) for w in words]

    zoom = 1 if grid is None else max(1, 112 // max(grid.rows, grid.columns))
    plane = None if grid is None else values.reshape(grid.rows, grid.columns)
    return _View(
        key=SCORES if row == 0 else summary.layers[row - 1].index,
        name=summary.rows[row],
        scale=f"{summary.scales[row]:.2g}",
        supporting=bars(supporting),
        opposing=bars(opposing),
        picture="" if plane is None else heat(plane, summary.scales[row], zoom),
    )


def _data(attribution: Attribution, summary: Summary, index: int, views: list[_View], budget: int) -> dict[str, Any]:
    """The data of the page's script for colours, hover and click; the numbers are written here, once."""
    grid, values = attribution.grid, np.concatenate([summary.values, summary.apart_values], axis=1)
    data: dict[str, Any] = {
        "keys": [v.key for v in views],
        "names": [v.name for v in views],
        "scales": [v.scale for v in views],
        "values": [[signed(v) for v in row] for row in values.tolist()],
        "grid": None if grid is None else [grid.rows, grid.columns],
        "unit": summary.unit,
        "steps": STEPS,
        "percentile": colours.PERCENTILE,
        "context": None,
    }
    if grid is None:
        data["levels"] = [
            colours.levels(row, scale, STEPS).tolist()
            for row, scale in zip(summary.values, summary.scales, strict=True)
        ]
        data["pieces"] = {
            unit: [[name, [signed(float(v)) for v in summary.piece_values[:, t]]] for name, t in pieces]
            for unit, pieces in enumerate(summary.pieces)
            if 1 < len(pieces) <= PIECES
        }
    if attribution.maps is not None:
        members = (*summary.members, *((t,) for t in summary.outside))
        rows = context.rows(attribution.maps[index], members, budget)
        data["context"] = {"kept": rows.kept, "count": rows.count, "data": rows.encoded()}
    return data


def _table(summaries: list[Summary]) -> list[tuple[int, str, list[tuple[str, int]]]]:
    """The strongest units of any explanation: number, name, and by each explanation the score and its level."""
    strongest = strongest_of(summaries, COMPARED)
    rows = zip(strongest.units, zip(*strongest.values, strict=True), zip(*strongest.levels, strict=True), strict=True)
    return [
        (unit, summaries[0].units[unit], [(signed(v), round(x * STEPS)) for v, x in zip(values, levels, strict=True)])
        for unit, values, levels in rows
    ]


def _numbers(count: int) -> list[tuple[int, float]]:
    """Row or column numbers along an axis, with the place of their middle in per cent."""
    step = -(-count // NUMBERS)
    return [(n, round(100 * (n + 0.5) / count, 2)) for n in range(0, count, step)]


def _snippet(summary: Summary) -> str:
    text = " ".join("".join(s.text for s in summary.segments[:60]).split())
    return text if len(text) <= 90 else text[:89] + "…"


def _error(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) else "-"
