"""Rows of Parquet files and of saved Hugging Face data sets, read in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..results.tables import needed
from .columns import Columns, Row
from .items import Item

ROWS = 256  # read at once


def parquet(path: Path, columns: Columns) -> Iterator[Item]:
    """The rows of a Parquet file.

    Raises:
        ValueError: a column is missing, or the file is not Parquet.
    """
    file = _opened(path)
    with file:
        columns.check(file.schema_arrow.names)
        wanted = sorted(set(columns.named.values()))
        yield from _items(file.iter_batches(batch_size=ROWS, columns=wanted), columns)


def count_rows(path: Path) -> int:
    """The number of rows of a Parquet file."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _opened(path: Path) -> Any:
    arrow, package = needed("pyarrow", "corpus", "a corpus"), needed("pyarrow.parquet", "corpus", "a corpus")
    try:
        return package.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"inputs: {path} is no Parquet file that can be read ({error})") from error


def data_set(path: Path, columns: Columns) -> Iterator[Item]:
    """The rows of a folder that `datasets.Dataset.save_to_disk` wrote.

    Raises:
        ValueError: a column is missing, the folder holds several splits, or its files cannot be read.
    """
    arrow = needed("pyarrow", "corpus", "a corpus")
    if (path / "dataset_dict.json").is_file():
        splits = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8")).get("splits", [])
        raise ValueError(f"inputs: {path} holds several splits; name the folder of one of them: {', '.join(splits)}")
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if state.get("_indices_data_files"):
        raise ValueError(f"inputs: {path} is a selection of rows; save it after flatten_indices()")
    names = [entry["filename"] for entry in state["_data_files"]]
    yield from _items(_batches(arrow, path, names, columns), columns)


def _batches(arrow: Any, path: Path, names: list[str], columns: Columns) -> Iterator[Any]:
    for name in names:
        try:
            with arrow.memory_map(str(path / name)) as file, arrow.ipc.open_stream(file) as stream:
                columns.check(stream.schema.names)
                for batch in stream:
                    yield batch.select(sorted(set(columns.named.values())))
        except (arrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"inputs: {path / name} cannot be read ({error})") from error


def _items(batches: Iterator[Any], columns: Columns) -> Iterator[Item]:
    number = 0
    for batch in batches:
        for begin in range(0, batch.num_rows, ROWS):
            for row in batch.slice(begin, ROWS).to_pylist():
                yield columns.item(Row(row), number)
                number += 1
