"""`verify`: some inputs of a corpus explained again, and compared with the tables."""

from __future__ import annotations

import json
import os
import random
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import Explainer
from .._utils.arguments import integer
from ..results.tables import needed
from . import tables
from .columns import Columns
from .explaining import decoded
from .items import Id, Item, content
from .options import recorded
from .parts import UNITS, Folder
from .plan import inputs_of
from .run import ORIGIN
from .sources import opened
from .work import processor as processor_digest
from .work import weights

FLOOR = 1e-5  # relative, of rounding where two runs have other batches


@dataclass(frozen=True)
class Checked:
    """One input, explained again.

    Args:
        id: of the input.
        difference: relative difference (norm over the rows) of the scores, the largest of scores and layers.
        allowed: the estimated errors of both, added; the floor of rounding at least.
        note: the reason why the two cannot be compared, or "".
    """

    id: Id
    difference: float
    allowed: float
    note: str = ""

    @property
    def agrees(self) -> bool:
        """The two are the same within their errors."""
        return not self.note and self.difference <= self.allowed


def origin(out: str | os.PathLike[str]) -> dict[str, Any]:
    """The places that a corpus was made from: `model`, `inputs`, `columns`; None where they are no files.

    Raises:
        ValueError: the folder holds no corpus.
    """
    try:
        places: dict[str, Any] = json.loads((Path(out) / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"out: {out} holds no corpus; name the folder that explain_corpus wrote") from error
    return places


def verify(
    out: str | os.PathLike[str],
    model: Any,
    processor: Any = None,
    inputs: Any = None,
    *,
    sample: int = 20,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> tuple[Checked, ...]:
    """Explain some inputs of a corpus again, and compare them with the tables.

    Args:
        out: folder that `explain_corpus` wrote.
        model: the model of the corpus.
        processor: its tokenizer or image processor.
        inputs: the inputs of the corpus; None for the file or folder that they came from.
        sample: number of inputs, drawn at random; those without an explanation are left out.
        seed: of the draw.
        options: options of `explain` that the tables do not keep, such as functions.

    Returns:
        the inputs, in the order of the tables.

    Raises:
        ValueError: no corpus, another model or processor, or inputs that cannot be found.
    """
    folder = Folder(Path(out))
    folder.look()
    if not folder.there:
        raise ValueError(f"out: {out} holds no corpus; name the folder that explain_corpus wrote")
    places = origin(out)
    chosen = _drawn(folder, integer("sample", sample, 1), seed)
    record = next(iter(folder.there.values())).record
    given = {**recorded({"settings": {**record["settings"], **dict.fromkeys(options or {})}}), **(options or {})}
    explainer = Explainer(model, processor, **given)
    if weights(explainer.model) != record["model"]["weights"]:
        raise ValueError("model: its weights are not those that the tables were made with; load the same model")
    if processor_digest(explainer.processor) != record["processor"]:
        raise ValueError("processor: it is not the one that the tables were made with; load the same one")
    place = places["inputs"] if inputs is None else inputs
    if place is None:
        raise ValueError("inputs: the corpus did not come from a file; pass its inputs")
    by_id = _found(opened(place, Columns(**places["columns"])).items(), {row["id"] for _, row in chosen})
    checked = []
    for name, row in chosen:
        item = by_id.get(row["id"])
        if item is None or content(item) != row["content"]:
            note = "it is gone from the inputs" if item is None else "its content has changed"
            checked.append(Checked(row["id"], float("nan"), 0.0, note))
            continue
        checked.append(_checked(explainer, item, _rows(folder, name, row["id"]), record["tables"]))
    return tuple(checked)


def _drawn(folder: Folder, sample: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Inputs drawn from all parts alike, with the names of their parts."""
    draw, seen = random.Random(seed), 0
    drawn: list[tuple[str, dict[str, Any]]] = []
    for name in sorted(folder.there):
        for row in inputs_of(folder, name, ["id", "content", "rows"]).to_pylist():
            if not row["rows"]:
                continue
            seen += 1
            if len(drawn) < sample:
                drawn.append((name, row))
            elif (place := draw.randrange(seen)) < sample:
                drawn[place] = (name, row)
    return sorted(drawn, key=lambda one: one[1]["id"])


def _found(items: Iterator[Item], ids: set[Id]) -> dict[Id, Item]:
    """The items of some ids; the inputs are read until all are found."""
    by_id: dict[Id, Item] = {}
    for item in items:
        if item.id in ids:
            by_id[item.id] = item
            if len(by_id) == len(ids):
                break
    return by_id


def _rows(folder: Folder, name: str, id: Id) -> Any:
    """The rows of one input."""
    package = tables.arrow()
    parquet = needed("pyarrow.parquet", "corpus", "a corpus")
    table = parquet.ParquetFile(folder.file(name, UNITS)).read()
    return table.filter(package.compute.equal(table["id"], package.scalar(id, table.schema.field("id").type)))


def _checked(explainer: Explainer, item: Item, kept: Any, wanted: Mapping[str, Any]) -> Checked:
    explainer.forget()
    value, error = decoded(item)
    if error:
        return Checked(item.id, float("nan"), 0.0, error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = explainer([value])
    (now,) = tables.units_of(a, wanted["by"], wanted["layers"])
    if now.num_rows != kept.num_rows or not now["text"].equals(kept["text"]):
        return Checked(item.id, float("nan"), 0.0, "it has other tokens")
    pairs = [("score", "score_error")]
    pairs += [(name, "layer_error") for name in now.column_names if name.startswith("layer_") and name != "layer_error"]
    differences = [_compared(kept, now, scores, error) for scores, error in pairs]
    difference, allowed = max(differences, key=lambda one: one[0] - one[1])
    return Checked(item.id, difference, allowed)


def _compared(kept: Any, now: Any, scores: str, error: str) -> tuple[float, float]:
    """The relative difference of a column and the allowed one."""
    one, other = (np.asarray(table[scores].to_numpy(), dtype=float) for table in (kept, now))
    errors = [np.nan_to_num(np.asarray(table[error].to_numpy(), dtype=float)).max(initial=0.0) for table in (kept, now)]
    size = float(np.linalg.norm(other)) or 1.0
    return float(np.linalg.norm(one - other)) / size, max(FLOOR, float(sum(errors)))
