"""Texts and pictures, read from the files that the command's options name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import hint, tell

BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff")  # UTF-16 and UTF-32 begin so
TABLES = {".csv", ".tsv", ".json", ".jsonl"}
STDIN = Path("-")
MANY = 2_000  # rows that are hinted to be a corpus


@dataclass(frozen=True)
class Line:
    """A line of a file, or a row of a table.

    Args:
        place: its file and number, for messages.
        text: what stands there; of two columns a pair.
    """

    place: str
    text: Any


def whole(path: Path) -> str:
    """The content of a file, as one text.

    Raises:
        ValueError: the file is missing, a folder, binary, or not UTF-8, naming the line.
    """
    name = f"--file {path}"
    return "\n".join(_text(line, f"{name}, line {i}") for i, line in enumerate(_split(path, name), 1))


def lines(path: Path) -> tuple[list[Line], int]:
    r"""The lines of a file that hold a text, split at \n alone; one that is not UTF-8 is told and left out.

    Returns:
        the lines, and how many were left out.

    Raises:
        ValueError: the file is missing, a folder or binary, or no line of it holds a text.
    """
    name = f"--lines {path}"
    if path.suffix.lower() in TABLES:
        hint(
            f"{name}: every line is one text, with its commas, quotes and heading; where that is not meant, name the "
            f"column of the texts: --file {path} --column NAME"
        )
    texts, bad = [], 0
    for number, line in enumerate(_split(path, name), 1):
        place = f"{name}, line {number}"
        try:
            text = _text(line, place).removesuffix("\r")
        except ValueError as error:
            bad += 1
            tell(str(error))
            continue
        if text.strip():
            texts.append(Line(place, text))
    if not texts:
        raise ValueError(f"{name}: no line holds a text" + (", and others cannot be read" if bad else ""))
    return texts, bad


def column(path: Path, text: str, second: str | None = None) -> tuple[list[Line], int]:
    """The cells of a column of a .csv, .jsonl or .parquet file, as a corpus reads them; a bad row is told and left out.

    Args:
        path: the file.
        text: the column of the texts.
        second: the column of the second texts of pairs, or None.

    Returns:
        the texts or pairs, and how many were left out.

    Raises:
        ValueError: no such file or column, a file of another kind, or no row that holds a text.
        ImportError: pyarrow, which reads .parquet, is not installed.
    """
    from ..corpus import Columns
    from ..corpus.sources import opened

    name, cells, bad = f"--file {path}", [], 0
    try:
        for item in opened(path, Columns(text, second)).items():
            place = f"{name}, row {item.id}"
            if item.error:
                bad += 1
                tell(f"{place}: {item.error.removeprefix('inputs: ')}")
            else:
                cells.append(Line(place, item.value))
            if len(cells) == MANY:
                hint(f"{name}: it has {MANY} rows or more; calig corpus explains many of them in parts, and goes on")
    except ValueError as error:
        raise ValueError(str(error).replace(f"inputs: {path}", name, 1)) from error
    if not cells:
        raise ValueError(f"{name}: no row holds a text" + (", and others cannot be read" if bad else ""))
    return cells, bad


def pictures(paths: Sequence[Path]) -> list[Any]:
    """The pictures of some files.

    Raises:
        ValueError: a file is missing, or holds no picture that can be read; the message names it.
    """
    return [_picture(path) for path in paths]


def _split(path: Path, name: str) -> list[bytes]:
    content = _bytes(path, name)
    if content.startswith(WIDE):
        raise ValueError(f"{name}: it is UTF-16 or UTF-32; save it as UTF-8")
    raw_lines = content.removeprefix(BOM).split(b"\n")
    for number, line in enumerate(raw_lines, 1):
        if (place := line.find(b"\x00")) >= 0:
            raise ValueError(
                f"{name}: it is binary, with a zero byte in line {number} at byte {place + 1}; give a text file"
            )
    return raw_lines


def _bytes(path: Path, name: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read()
    if path.is_dir():
        raise ValueError(f"{name}: it is a folder; give a file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{name}: there is no such file") from error


def _text(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: byte {error.start + 1}, 0x{line[error.start]:02x}, is not UTF-8; save the file as UTF-8"
        ) from error


def _picture(path: Path) -> Any:
    from PIL import Image

    name = f"--image {path}"
    if not path.exists():
        raise ValueError(f"{name}: there is no such file")
    try:
        picture = Image.open(path)
        picture.load()  # a damaged file is told now, and the file is closed
    except Exception as error:  # the decoders of many formats raise as many kinds
        raise ValueError(f"{name}: it holds no picture that can be read ({error})") from error
    return picture
