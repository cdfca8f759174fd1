"""An explanation in a few lines: label, error, convergence and the strongest units of each input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from rich.cells import cell_len, set_cell_size

from ..results.attribution import Attribution
from ..results.grouping import Grouped, Ranked, strongest
from ..results.units import usual
from .one_input import signed, visible

ROWS = 12
STRONGEST = 3
NAME = 20  # terminal cells of a name
Row = tuple[str, ...]
HEAD: Row = ("row", "input", "label", "score error", "layer error", "converged", "tokens", "strongest")
_RIGHT = {"row", "input", "score error", "layer error", "tokens"}


def table(shown: Attribution | Grouped) -> str:
    """At most 16 lines of plain text: a heading, and a row for each of the first 12 inputs."""
    a = _whole(shown)
    lines = [_heading(shown)]
    if a.scores.is_meta:
        return f"{lines[0]}: tensors on the meta device hold no values"
    rows = [HEAD, *_rows(shown)]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines += ["  ".join(map(_cell, HEAD, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *_ending(a)])


def table_html(shown: Attribution | Grouped) -> str:
    """The same as an HTML table."""
    a = _whole(shown)
    if a.scores.is_meta:
        return f"<pre>{escape(table(shown))}</pre>"
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(shown))
    ending = "".join(f"<p>{escape(line)}</p>" for line in _ending(a))
    return (
        f"<div><p>{escape(_heading(shown))}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{ending}</div>"
    )


def _whole(shown: Attribution | Grouped) -> Attribution:
    return shown.attribution if isinstance(shown, Grouped) else shown


def _heading(shown: Attribution | Grouped) -> str:
    a = _whole(shown)
    many = "" if a.batch == 1 else "s"
    layers = a.layer_scores.shape[1]
    what = "image" if a.grid is not None else "input" if a.texts is None else "text"
    made = f"{a.batch} {what}{many}, {a.method}, {a.engine} engine"
    units = f", {shown.how} by {shown.kind}" if isinstance(shown, Grouped) else ""
    return visible(f"{type(shown).__name__} of {made}, {layers} layer{'' if layers == 1 else 's'}{units}")


def _rows(shown: Attribution | Grouped) -> list[Row]:
    a = _whole(shown)
    inputs = a.source
    return [
        (
            str(b),
            str(b if inputs is None else int(inputs[b])),
            _short(a.label(b)),
            _error(float(a.score_error[b])),
            _error(float(a.error[b].nan_to_num(-1.0).max()) if a.error.shape[1] else math.nan),
            _converged(a, b),
            str(int(a.mask[b].sum())),
            ", ".join(f"{_short(r.name)} {signed(r.score)}" for r in _top(shown, b)),
        )
        for b in range(min(a.batch, ROWS))
    ]


def _top(shown: Attribution | Grouped, index: int) -> Sequence[Ranked]:
    if isinstance(shown, Grouped):
        return shown.row_top(index, STRONGEST)
    return strongest(shown, index, usual(shown), STRONGEST)


def _converged(a: Attribution, index: int) -> str:
    if bool(a.error[index].isnan().all()):
        return "-"  # nothing was integrated
    if bool(a.converged[index]):
        return "yes"
    return "NO: " + ", ".join(dict.fromkeys(why for why in a.reasons[index] if why)) if any(a.reasons[index]) else "NO"


def _ending(a: Attribution) -> list[str]:
    more = [f"... {a.batch - ROWS} more rows"] if a.batch > ROWS else []
    late = 0 if not a.error.shape[1] else int((~a.converged & ~a.error.isnan().all(1)).sum())
    return [*more, f"{late} of {a.batch} did not converge; a.statement(i) says why"] if late else more


def _short(text: str) -> str:
    line = " ".join(visible(text[: 4 * NAME]).split())
    return line if cell_len(line) <= NAME else set_cell_size(line, NAME - 1).rstrip() + "…"


def _error(value: float) -> str:
    return f"{value:.1e}" if math.isfinite(value) and value >= 0 else "-"


def _cell(name: str, text: str, width: int) -> str:
    space = " " * (width - cell_len(text))
    return space + text if name in _RIGHT else text + space
