"""The tables of a part: a row a token or patch, and a row an input. docs/corpus.md says what the columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .. import Attribution
from ..results.tables import needed
from .items import Id

ID, SETTINGS = "id", "settings"
DROPPED = ("row", "input")  # columns of a result's own table, which number the inputs of one call
INPUT_COLUMNS = {
    "id": Id,
    "content": str,
    "label": str,
    "target": int,
    "predicted": str,
    "logits": list,
    "score_error": float,
    "layer_error": float,
    "converged": bool,
    "reason": str,
    "tokens": int,
    "truncated": int,
    "rows": int,
    "error": str,
    "seconds": float,
    "settings": str,
}


@dataclass(frozen=True)
class Explained:
    """An input and its explanation, or the reason why there is none.

    Args:
        id: of the input.
        content: digest of its value.
        units: Arrow table of its rows, None where there is no explanation.
        told: the columns of its row among the inputs.
        maps: context maps [K,L,T,U] of its K targets, or None.
    """

    id: Id
    content: str
    units: Any
    told: Mapping[str, Any]
    maps: torch.Tensor | None = None


def arrow() -> Any:
    """The package pyarrow.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    needed("pyarrow.compute", "corpus", "a corpus")
    return needed("pyarrow", "corpus", "a corpus")


def units_of(a: Attribution, by: str | None, layers: Sequence[int] | None) -> list[Any]:
    """The rows of each input of an explanation, an Arrow table an input.

    Args:
        a: of some inputs.
        by: unit of a row, None for tokens and patches.
        layers: rows of `layer_scores` to keep, None for all.
    """
    table = (a if by is None else a.by(by)).to_arrow(layers)
    sizes = arrow().compute.value_counts(table["input"].combine_chunks()).to_pylist() if table.num_rows else []
    counts = {one["values"]: one["counts"] for one in sizes}
    table = table.drop_columns(list(DROPPED)).replace_schema_metadata(None)
    by_input, first = [], 0
    inputs = range(a.batch) if a.source is None else dict.fromkeys(a.source.tolist())
    for number in inputs:
        by_input.append(table.slice(first, counts.get(number, 0)))
        first += counts.get(number, 0)
    return by_input


def told_of(a: Attribution, rows: Sequence[int]) -> dict[str, Any]:
    """The columns of one input among the inputs.

    Args:
        a: the explanation.
        rows: those of the input, one a target.
    """
    first = rows[0]
    target = None if a.target is None else a.target[first].reshape(-1)[0].item()
    logits = a.logits[first].tolist()
    predicted = int(a.logits[first].argmax()) if len(logits) > 1 else None
    names = a.labels or ()
    errors = a.error[list(rows)]
    reasons = (
        sorted({why for b in rows for why in a.reasons[b] if why}) if not bool(a.converged[list(rows)].all()) else []
    )
    return {
        "label": a.label(first),
        "target": target,
        "predicted": None if predicted is None else names[predicted] if predicted < len(names) else str(predicted),
        "logits": logits,
        "score_error": float(a.score_error[list(rows)].amax()),
        "layer_error": float(errors.amax()) if errors.shape[1] else float("nan"),
        "converged": bool(a.converged[list(rows)].all()),
        "reason": ", ".join(reasons),
        "tokens": int(a.mask[first].sum()),
        "truncated": 0 if a.texts is None else a.texts[first].truncated,
        "error": None,
    }


def unit_table(explained: Sequence[Explained], numbered: bool, settings: str) -> Any | None:
    """The rows of several inputs, in the order of their ids; None where none has any."""
    package = arrow()
    ordered = sorted((one for one in explained if one.units is not None), key=lambda one: one.id)
    if not ordered:
        return None
    joined = package.concat_tables([one.units for one in ordered])
    kind = package.int64() if numbered else package.string()
    ids = [one.id for one in ordered for _ in range(one.units.num_rows)]
    known = [name for name in joined.column_names if name not in (ID, SETTINGS)]
    columns = [package.array(ids, kind), *(joined[name] for name in known)]
    columns.append(package.array([settings] * joined.num_rows, package.string()))
    types = [package.field(ID, kind), *(joined.schema.field(name) for name in known)]
    schema = package.schema([*types, package.field(SETTINGS, package.string())])
    return package.table(columns, schema=schema)


def input_table(explained: Sequence[Explained], numbered: bool, settings: str) -> Any:
    """The inputs, in the order of their ids."""
    package = arrow()
    ordered = sorted(explained, key=lambda one: one.id)
    types: dict[Any, Any] = {
        int: package.int64(),
        float: package.float64(),
        str: package.string(),
        bool: package.bool_(),
    }
    types[list] = package.list_(package.float64())
    kinds = {**INPUT_COLUMNS, "id": int if numbered else str}
    rows = [
        {
            "seconds": None,
            **one.told,
            "id": one.id,
            "content": one.content,
            "rows": 0 if one.units is None else one.units.num_rows,
            "settings": settings,
        }
        for one in ordered
    ]
    schema = package.schema([package.field(name, types[kind]) for name, kind in kinds.items()])
    return package.table({name: [row.get(name) for row in rows] for name in kinds}, schema=schema)


def encoded(table: Any, about: Mapping[str, str]) -> bytes:
    """A table as the content of a Parquet file, with checksums of its pages.

    Args:
        table: of Arrow.
        about: metadata of the file.
    """
    package, parquet = arrow(), needed("pyarrow.parquet", "corpus", "a corpus")
    content = package.BufferOutputStream()
    described = table.replace_schema_metadata(dict(about))
    parquet.write_table(described, content, compression="zstd", write_page_checksum=True)
    return bytes(content.getvalue())
