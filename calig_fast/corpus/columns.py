"""The columns of a table that hold the inputs: text or picture, the second text of a pair, and the id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .items import Id, Item, Picture


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        values: cells by their columns.
        error: the reason why it cannot be read, or "".
        raw: the row as it stands there, where it cannot be read.
    """

    values: Mapping[str, Any]
    error: str = ""
    raw: str = ""


@dataclass(frozen=True)
class Columns:
    """Names of the columns.

    Args:
        text: of the text or the picture.
        pair: of the second text, None for single texts.
        id: of the id, None for the number of the row.
    """

    text: str = "text"
    pair: str | None = None
    id: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The columns in use by the argument that names them."""
        given = {"column": self.text, "pair_column": self.pair, "id_column": self.id}
        return {argument: name for argument, name in given.items() if name is not None}

    def check(self, there: Iterable[str]) -> None:
        """Raise where a column is missing, or not the only one of its name.

        Raises:
            ValueError: it names the column, and those that there are where it is missing.
        """
        known = list(there)
        for argument, name in self.named.items():
            if name not in known:
                raise ValueError(
                    f'{argument}: the inputs have no column "{name}"; there {"are" if known else "is"} '
                    f"{', '.join(known) or 'none'}"
                )
            if known.count(name) > 1:
                raise ValueError(f'{argument}: {known.count(name)} columns are named "{name}"; rename all but one')

    def item(self, row: Row, number: int) -> Item:
        """The input of a row.

        Args:
            row: of the table.
            number: of the row, from 0.
        """
        item_id, error = self._id(row, number), row.error
        if error:
            return Item(item_id, row.raw or None, error)
        parts: list[Any] = []
        for argument, name in self.named.items():
            if argument == "id_column":
                continue
            value, wrong = _value(row.values.get(name), name)
            parts.append(value)
            error = error or wrong
        if not error and len(parts) > 1 and not all(isinstance(part, str) for part in parts):
            error = f'inputs: expected two texts in "{self.text}" and "{self.pair}"'
        return Item(item_id, tuple(parts) if len(parts) > 1 else parts[0], error)

    def _id(self, row: Row, number: int) -> Id:
        if self.id is None:
            return number
        value = row.values.get(self.id)
        return f"row {number}" if value is None or value == "" else plain_id(value)


def plain_id(value: Any) -> str:
    """An id as a text that UTF-8 can express."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _value(value: Any, name: str) -> tuple[Any, str]:
    """A cell as an input, and the reason why it is none."""
    if isinstance(value, str):
        if any("\udc80" <= c <= "\udcff" for c in value):  # bytes that were read with surrogateescape
            shown = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return shown, f'inputs: "{name}" is not UTF-8; save the file as UTF-8'
        return value, ""
    if isinstance(value, bytes | bytearray | memoryview):
        return Picture(bytes(value)), ""
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):  # an image of a Hugging Face data set
        return Picture(value["bytes"]), ""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None, f'inputs: "{name}" is empty'
    if hasattr(value, "getbands") or (isinstance(value, np.ndarray) and value.ndim >= 2):
        return value, ""
    return repr(value), f'inputs: expected a text or a picture in "{name}", got {type(value).__name__}'
