"""The inputs of a corpus as a stream of items: files, folders, data sets and iterables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .._utils.arguments import kind
from . import images, lines, stored
from .columns import Columns, Row, plain_id
from .items import Item

FILES = (".txt", ".csv", ".jsonl", ".parquet", ".tar")


@dataclass(frozen=True)
class Source:
    """A corpus.

    Args:
        items: begins the stream.
        numbered: ids are the numbers of the rows (int), else texts.
        count: the number of items where it is known without reading them, or None.
        again: `items` can be called more than once.
    """

    items: Callable[[], Iterator[Item]]
    numbered: bool
    count: Callable[[], int | None]
    again: bool = True


def opened(inputs: Any, columns: Columns) -> Source:
    r"""A corpus as its caller names it.

    Args:
        inputs: the name of a .txt (a text a line, split at \n alone), .csv, .jsonl, .parquet or .tar (webdataset)
            file, of a folder of images, or of a folder that `datasets.Dataset.save_to_disk` wrote; or a
            `datasets.Dataset`, a `ray.data.Dataset`, a table, or any iterable of single inputs of `explain` or of
            mappings with the columns.
        columns: the columns of tables and mappings.

    Raises:
        TypeError: nothing that has inputs.
        ValueError: no such file, or a file of another kind.
    """
    if isinstance(inputs, str | os.PathLike):
        return _file(Path(inputs), columns)
    by_number = columns.id is None
    known = len(inputs) if isinstance(inputs, Sized) and not isinstance(inputs, Mapping) else None
    if hasattr(inputs, "iter_rows") and callable(getattr(inputs, "columns", None)):  # of Ray
        return Source(lambda: _rows(inputs.iter_rows(), columns), by_number, lambda: None)
    if hasattr(inputs, "columns"):
        return Source(lambda: _rows(_table(inputs, columns), columns), by_number, lambda: known)
    if hasattr(inputs, "column_names") and hasattr(inputs, "select_columns"):
        columns.check(inputs.column_names)
        chosen = inputs.select_columns(sorted(set(columns.named.values())))
        return Source(lambda: _rows(chosen, columns), by_number, lambda: known)
    if isinstance(inputs, bytes | bytearray | Mapping | set | frozenset) or not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs: expected the name of a file or a folder, a data set, or an iterable of inputs, got {kind(inputs)}"
        )
    return Source(lambda: _rows(inputs, columns), by_number, lambda: known, not isinstance(inputs, Iterator))


def _file(path: Path, columns: Columns) -> Source:
    by_number = columns.id is None
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return Source(partial(stored.data_set, path, columns), by_number, lambda: None)
        if next(images.files(path), None) is None:
            raise ValueError(f"inputs: {path} holds no pictures and no saved data set; name a file in it")
        return Source(partial(images.folder, path), False, lambda: sum(1 for _ in images.files(path)))
    if not path.exists():
        raise ValueError(f"inputs: {path}: there is no such file; pass texts themselves as a list")
    match path.suffix.lower():
        case ".txt":
            if columns.pair is not None or columns.id is not None:
                raise ValueError("pair_column, id_column: a .txt file has no columns; give a .csv, .jsonl or .parquet")
            return Source(partial(lines.texts, path), True, partial(lines.count_lines, path))
        case ".csv":
            return Source(partial(lines.table, path, columns), by_number, lambda: None)
        case ".jsonl":
            return Source(partial(lines.records, path, columns), by_number, lambda: None)
        case ".parquet":
            return Source(partial(stored.parquet, path, columns), by_number, partial(stored.count_rows, path))
        case ".tar":
            return Source(partial(images.tar, path, columns), False, lambda: None)
    raise ValueError(
        f"inputs: {path}: expected one of {', '.join(FILES)}, a folder of images or a saved data set; write the texts "
        "to one of these"
    )


def _table(table: Any, columns: Columns) -> Iterator[Mapping[str, Any]]:
    """The rows of a DataFrame, of pandas or Polars."""
    columns.check(map(str, table.columns))
    names = sorted(set(columns.named.values()))
    for cells in zip(*(table[name] for name in names), strict=True):
        yield dict(zip(names, cells, strict=True))


def _rows(rows: Iterable[Any], columns: Columns) -> Iterator[Item]:
    """Rows of the caller's: mappings with the columns, or inputs of `explain`."""
    number = 0
    stream = iter(rows)
    while True:
        try:
            row = next(stream)
        except StopIteration:
            return
        except Exception as error:  # of the caller's own generator
            raise ValueError(
                f"inputs: reading them fails after {number}, with {type(error).__name__}: {error}"
            ) from error
        yield _row(row, columns, number)
        number += 1


def _row(row: Any, columns: Columns, number: int) -> Item:
    if isinstance(row, Mapping) and "input_ids" not in row and "pixel_values" not in row:
        if number == 0:
            columns.check(map(str, row))
        return columns.item(Row(row), number)
    if columns.id is not None:
        if isinstance(row, Mapping) and columns.id in row:
            rest = {name: value for name, value in row.items() if name != columns.id}
            return Item(plain_id(row[columns.id]), rest)
        return Item(f"row {number}", None, f'inputs: expected a mapping with the id in "{columns.id}", got {kind(row)}')
    if row is None:
        return Item(number, None, "inputs: it is None")
    return Item(number, row)
