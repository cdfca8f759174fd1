"""`calig compare`: several methods on the same inputs, with their faithfulness and time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .document import document
from .errors import finish, plain_errors
from .loading import Given, load
from .writing import folders_exist, one_to_stdout, write_html, write_json

if TYPE_CHECKING:
    from ..metrics import Agreement, Interval
    from .compared import Compared

METHODS = ("calig", "ig", "chefer", "attention_gradient", "rollout")
COLUMNS = ("method", "comp", "suff", "comp - suff", "log-odds", "p", "seconds")


def compare(
    model: options.Model,
    *,
    text: options.Text = None,
    pair: options.Pair = None,
    file: options.File = None,
    lines: options.Lines = None,
    image: options.Image = None,
    target: options.Target = None,
    method: Annotated[
        list[str] | None, typer.Option(help=f"A method; may be given several times. By default {', '.join(METHODS)}.")
    ] = None,
    baselines: options.Baselines = None,
    removal: Annotated[
        str | None, typer.Option(help="What erased tokens become: mask, pad, unk, delete; blur, mean, black.")
    ] = None,
    device: options.Device = None,
    html: options.Html = None,
    json: options.Json = None,
    debug: options.Debug = False,
) -> None:
    """Compare methods on the same inputs: erasure metrics with 95 % bootstrap intervals, rank agreement, and seconds.

    A random order of the tokens is the floor. Intervals need two inputs or more; --lines takes many.
    """
    with plain_errors(debug):
        silent = one_to_stdout(html, json)
        folders_exist(html, json)
        names = list(dict.fromkeys(method or METHODS))
        given = Given(model, text=text, pair=pair, file=file, lines=lines, image=image, target=target, device=device)
        loaded = load(given)

        from .compared import methods

        compared, agreement = methods(loaded, names, baselines, removal)
        if json:
            write_json(_document(compared, agreement), json)
        if not silent:
            _print(compared, agreement)
        if html:
            from .compare_page import page

            write_html(page(COLUMNS, _rows(compared), _agreement(agreement), _note(compared), compared), html)
        finish(loaded.left_out)


def _rows(compared: list[Compared]) -> list[tuple[str, ...]]:
    """The table, a row a method."""
    from .compared import MEASURES

    rows = []
    for one in compared:
        cells = [_cell(one.mean(measure), one.intervals[measure]) for measure in MEASURES]
        p = "" if one.to_first is None else f"{one.to_first.p_value:.3f}"
        rows.append((one.name, *cells, p, "" if one.seconds is None else f"{one.seconds:.2f}"))
    return rows


def _cell(mean: float, interval: Interval | None) -> str:
    return f"{mean:.2f}" if interval is None else f"{mean:.2f}\n{interval.low:.2f}..{interval.high:.2f}"


def _agreement(agreement: Agreement) -> list[tuple[str, ...]]:
    """Spearman's rho of every two methods, the names in the first row and column."""
    rows = [
        (name, *(f"{rho:.2f}" for rho in row))
        for name, row in zip(agreement.names, agreement.matrix.tolist(), strict=True)
    ]
    return [("rank agreement", *agreement.names), *rows]


def _note(compared: list[Compared]) -> str:
    inputs = len(compared[0].erasure.difference)
    text = (
        f"{inputs} input{'s' if inputs > 1 else ''}. comp(rehensiveness), what erasing the top tokens takes from the "
        "probability, and comp - suff: higher is better. suff(iciency), what keeping them alone loses, and log-odds: "
        "lower is better. A random order of the tokens is the floor. "
    )
    if inputs < 2:
        return text + "One input says little, and has no interval: give more."
    return text + "Below each mean stands its 95 % bootstrap interval; p tests each method against the first, in pairs."


def _print(compared: list[Compared], agreement: Agreement) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    head, *rest = _agreement(agreement)
    for columns, rows in ((COLUMNS, _rows(compared)), (head, rest)):
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(columns[0], overflow="fold")
        for name in columns[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(_note(compared), highlight=False, markup=False)


def _document(compared: list[Compared], agreement: Agreement) -> dict[str, Any]:
    """The comparison as plain values; a random order has no explanation."""
    from .compared import MEASURES

    def plain(one: Compared) -> dict[str, Any]:
        measured = {
            measure: {
                "mean": one.mean(measure),
                "values": getattr(one.erasure, measure).values.tolist(),
                "interval": None if (interval := one.intervals[measure]) is None else asdict(interval),
            }
            for measure in MEASURES
        }
        return {
            "method": one.name,
            "seconds": one.seconds,
            **measured,
            "to_first": None if one.to_first is None else asdict(one.to_first),
            "explanation": None if one.attribution is None else document(one.attribution),
        }

    return {
        "methods": [plain(one) for one in compared],
        "rank_agreement": {"methods": list(agreement.names), "spearman": agreement.matrix.tolist()},
    }
