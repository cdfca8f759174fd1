"""Rows of text files: .txt, .csv and .jsonl, read as a stream."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .columns import Columns, Row
from .items import Item

BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff")  # UTF-16 and UTF-32 begin so
AT_ONCE = 1 << 24  # bytes
LOOKED_AT = 100  # rows of a .jsonl file in which its columns are looked for


def texts(path: Path) -> Iterator[Item]:
    r"""A text a line, split at \n alone; the id is the number of the line, from 0. An empty line is a bad input."""
    for number, line in enumerate(_lines(path)):
        yield _read(line.removesuffix(b"\n").removesuffix(b"\r"), number)


def _read(line: bytes, number: int) -> Item:
    error = _fault(line)
    return Item(number, line.decode("utf-8", "backslashreplace" if error else "strict"), error)


def _fault(line: bytes) -> str:
    if (place := line.find(b"\x00")) >= 0:
        return f"inputs: it is binary, with a zero byte at byte {place + 1}"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"inputs: byte {error.start + 1}, 0x{line[error.start]:02x}, is not UTF-8; save the file as UTF-8"
    return ""


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        begin = file.read(3)
        if begin.startswith(WIDE):
            raise ValueError(f"inputs: {path} is UTF-16 or UTF-32; save it as UTF-8")
        if begin != BOM:
            file.seek(0)
        yield from file


def count_lines(path: Path) -> int:
    """The number of lines of a file, a last one without a line end included."""
    line_ends, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(AT_ONCE):
            line_ends, last = line_ends + block.count(b"\n"), block[-1:]
    return line_ends + (last != b"\n")


def table(path: Path, columns: Columns) -> Iterator[Item]:
    """The rows of a .csv file, whose first row has the names of the columns.

    Raises:
        ValueError: a column is missing, or the file is no table.
    """
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))  # a text may be longer than 128 KiB
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        try:
            names = next(rows, [])
            columns.check(names)
            for number, cells in enumerate(row for row in rows if row):
                yield columns.item(_cells(names, cells), number)
        except csv.Error as error:
            raise ValueError(f"inputs: {path} is no table, line {rows.line_num}: {error}") from error


def _cells(names: list[str], cells: list[str]) -> Row:
    if len(cells) > len(names):
        return Row({}, f"inputs: the row has {len(cells)} cells, and the heading {len(names)}; quote commas and quotes")
    return Row(dict(zip(names, cells, strict=False)))


def records(path: Path, columns: Columns) -> Iterator[Item]:
    """The objects of a .jsonl file, one a line; empty lines are no rows.

    Raises:
        ValueError: none of the first rows has the column.
    """
    rows = (_record(line) for line in _lines(path) if line.strip())
    first = list(itertools.islice(rows, LOOKED_AT))
    names = {name for row in first for name in row.values}
    if any(not row.error for row in first):
        columns.check(sorted(names))
    for number, row in enumerate(itertools.chain(first, rows)):
        yield columns.item(row, number)


def _record(line: bytes) -> Row:
    if error := _fault(line):
        return Row({}, error, line.hex())
    try:
        record: Any = json.loads(line)
    except ValueError as problem:
        return Row({}, f"inputs: the line is no JSON ({problem})", line.decode("utf-8"))
    if not isinstance(record, Mapping):
        return Row({}, f"inputs: expected an object of JSON, got {type(record).__name__}", line.decode("utf-8"))
    return Row(record)
