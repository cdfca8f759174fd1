"""Pictures of a folder, and the samples of a webdataset tar."""

from __future__ import annotations

import itertools
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .columns import Columns, Row, plain_id
from .items import Item, Picture
from .lines import _fault

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
TEXTS = ("txt", "text", "transcript")


def folder(path: Path) -> Iterator[Item]:
    """The image files of a folder and those below it, by their suffixes; the id is the path within the folder."""
    for file in files(path):
        name = plain_id(file.relative_to(path).as_posix())
        try:
            yield Item(name, Picture(file.read_bytes()))
        except OSError as error:
            yield Item(name, None, f"inputs: it cannot be read ({error.strerror})")


def files(path: Path) -> Iterator[Path]:
    """The image files, in an order that stays the same."""
    for root, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(root, name)


def tar(path: Path, columns: Columns) -> Iterator[Item]:
    """The samples of a webdataset: files of one name, whose suffix says what each of them is.

    A sample is its file of the suffix `columns.text`, else its picture, else its text (.txt), else the field of its
    .json. The id is its name without the suffixes.

    Raises:
        ValueError: the file is no tar.
    """
    try:
        with tarfile.open(path, "r|*") as archive:
            for key, group in itertools.groupby(_members(archive), lambda member: member[0]):
                yield _sample(key, {suffix: content for _, suffix, content in group}, columns)
    except tarfile.TarError as error:
        raise ValueError(f"inputs: {path} is no tar that can be read ({error})") from error


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    """(key, suffix, content) of every file; the key ends before the first dot of the name."""
    for member in archive:
        place = PurePosixPath(member.name)
        stem, _, suffix = place.name.partition(".")
        if member.isfile() and stem and suffix:
            opened = archive.extractfile(member)
            yield str(place.parent / stem), suffix.lower(), b"" if opened is None else opened.read()


def _sample(key: str, parts: dict[str, bytes], columns: Columns) -> Item:
    item_id = plain_id(key)
    pictures = [suffix for suffix in parts if f".{suffix.rpartition('.')[2]}" in SUFFIXES]
    named = [suffix for suffix in (columns.text, *pictures, *TEXTS) if suffix in parts]
    if named and (named[0] in pictures or named[0] not in (*TEXTS, "json")):
        return Item(item_id, Picture(parts[named[0]]))
    if named and named[0] != "json":
        raw = parts[named[0]]
        error = _fault(raw)
        return Item(item_id, raw.decode("utf-8", "backslashreplace" if error else "strict"), error)
    if "json" in parts:
        try:
            row = Row(dict(json.loads(parts["json"])))
        except (ValueError, TypeError) as error:
            return Item(item_id, parts["json"].hex(), f"inputs: its .json cannot be read ({error})")
        item = Columns(columns.text, columns.pair).item(row, 0)
        return Item(item_id, item.value, item.error)
    return Item(item_id, None, f"inputs: the sample has neither picture nor text, but {', '.join(sorted(parts))}")
