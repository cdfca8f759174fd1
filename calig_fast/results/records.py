"""The rows of an export: one for each token, patch, word, sentence or span, its columns of plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from .._utils.arguments import position
from .statement import INCOMPLETE, LIMIT
from .units import Unit, listed

if TYPE_CHECKING:
    from .attribution import Attribution
    from .grouping import Grouped

SCHEMA_VERSION = 1
LAYER = "layer_"  # and the number of the block
# Before the columns of the layers, and after them: the type of each. docs/exports.md says what they mean.
UNIT_COLUMNS = {
    "schema_version": int,
    "row": int,
    "input": int,
    "unit": str,
    "how": str,
    "number": int,
    "text": str,
    "position": int,
    "tokens": int,
    "special": bool,
    "word": str,
    "word_number": int,
    "part": int,
    "start": int,
    "end": int,
    "patch_row": int,
    "patch_column": int,
    "score": float,
}
ROW_COLUMNS = {
    "score_error": float,
    "layer_error": float,
    "converged": bool,
    "reason": str,
    "label": str,
    "target": int,
    "contrast": int,
    "method": str,
    "engine": str,
    "backend": str,
    "output": str,
    "baselines": str,
    "tolerance": float,
}
Column = list[Any]


@dataclass(frozen=True)
class Table:
    """Columns of plain values, by name in their order.

    Args:
        columns: as long as each other; None where a value does not apply, nan where a number is not known.
        types: int, float, str or bool of each column.
    """

    columns: dict[str, Column]
    types: dict[str, type]

    def records(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        names = tuple(self.columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


def table(grouped: Grouped, layers: Sequence[int] | None = None) -> Table:
    """The rows of all inputs, one for each unit.

    Args:
        grouped: from `Attribution.by`.
        layers: rows of `layer_scores` to export, None for all.

    Raises:
        TypeError: `layers` is no list of ints.
        IndexError: no such layer.
    """
    a = grouped.attribution
    chosen = _chosen(a, layers)
    counts = [len(units) for units in grouped.units]
    columns = _unit_columns(grouped, counts)
    columns["score"] = _values(grouped.scores, counts)
    scored = {f"{LAYER}{a.block(n)}": _values(grouped.layer_scores[:, n], counts) for n in chosen}
    types = {**UNIT_COLUMNS, **dict.fromkeys(scored, float), **ROW_COLUMNS}
    columns |= {**scored, **_row_columns(a, counts)}
    return Table({name: _written(columns[name], kind) for name, kind in types.items()}, types)


def _written(column: Column, kind: type) -> Column:
    """Texts that UTF-8 can express: half a surrogate pair becomes its escape."""
    if kind is not str:
        return column
    return [v if v is None or v.isascii() else v.encode("utf-8", "backslashreplace").decode("utf-8") for v in column]


def _chosen(a: Attribution, layers: Any) -> list[int]:
    count = int(a.layer_scores.shape[1])
    if layers is None:
        return list(range(count))
    chosen = listed("layers", layers, f"None or a list of rows of layer_scores, 0 to {count - 1}")
    return list(dict.fromkeys(position("layers", n, count, "layers") for n in chosen))


def _values(scores: Any, counts: Sequence[int]) -> Column:
    return list(chain.from_iterable(row[:n] for row, n in zip(scores.tolist(), counts, strict=True)))


def _repeated(values: Iterable[Any], counts: Sequence[int]) -> Column:
    return [value for value, n in zip(values, counts, strict=True) for _ in range(n)]


def _unit_columns(grouped: Grouped, counts: Sequence[int]) -> dict[str, Column]:
    a, units = grouped.attribution, list(chain.from_iterable(grouped.units))
    words = [_word(a, b, unit) for b, row in enumerate(grouped.units) for unit in row]
    inputs = range(a.batch) if a.source is None else a.source.tolist()
    return {
        "schema_version": [SCHEMA_VERSION] * len(units),
        "row": _repeated(range(a.batch), counts),
        "input": _repeated(inputs, counts),
        "unit": [u.kind for u in units],
        "how": [grouped.how] * len(units),
        "number": [n for count in counts for n in range(count)],
        "text": [u.text for u in units],
        "position": [u.tokens[0] if u.tokens else None for u in units],
        "tokens": [len(u.tokens) for u in units],
        "special": [u.special for u in units],
        "word": [word for word, _ in words],
        "word_number": [number for _, number in words],
        "part": [u.part if u.words else None for u in units],
        "start": [u.start if u.start >= 0 else None for u in units],
        "end": [u.end if u.end >= 0 else None for u in units],
        "patch_row": [None if u.place is None else u.place[0] for u in units],
        "patch_column": [None if u.place is None else u.place[1] for u in units],
    }


def _word(a: Attribution, index: int, unit: Unit) -> tuple[str | None, int | None]:
    """The word of a token or of itself; of several words none."""
    if len(unit.words) != 1 or a.texts is None:
        return None, None
    number = unit.words[0]
    return a.texts[index].words[number].text, number


def _row_columns(a: Attribution, counts: Sequence[int]) -> dict[str, Column]:
    targets: list[Any] = [None] * a.batch if a.target is None else a.target.tolist()
    pairs = [t if isinstance(t, list) else [t, None] for t in targets]
    converged = a.converged.tolist()
    settings = a.settings
    columns: dict[str, Iterable[Any]] = {
        "score_error": a.score_error.tolist(),
        "layer_error": _largest(a),
        "converged": converged,
        "reason": [_reason(ok, why) for ok, why in zip(converged, a.reasons, strict=True)],
        "label": [a.label(b) for b in range(a.batch)],
        "target": [first for first, _ in pairs],
        "contrast": [second for _, second in pairs],
    }
    same: dict[str, Any] = {
        "method": a.method,
        "engine": a.engine,
        "backend": a.backend,
        "output": settings.output,
        "baselines": ", ".join(names) if isinstance(names := settings.baselines, list) else names,
        "tolerance": settings.tolerance,
    }
    made = {name: _repeated(values, counts) for name, values in columns.items()}
    return made | {name: [value] * sum(counts) for name, value in same.items()}


def _largest(a: Attribution) -> list[float]:
    """The largest estimated error of the layers; nan where one is, or where there are none."""
    if not a.error.shape[1]:
        return [float("nan")] * a.batch
    errors: list[float] = a.error.amax(1).tolist()
    return errors


def _reason(converged: bool, layers: Sequence[str]) -> str:
    """Why an input did not converge: "" (it did), "limit", "incomplete", or both."""
    if converged:
        return ""
    reasons = [why for why in (LIMIT, INCOMPLETE) if why in layers]
    return ", ".join(reasons) or LIMIT
