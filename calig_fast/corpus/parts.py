"""Parts: the files of a corpus, named by the work and the inputs that they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._utils import files
from ..results.tables import needed
from .items import Id

UNITS, INPUTS, MAPS, ASIDE = "tokens", "inputs", "maps", "aside"
SUFFIXES = {UNITS: ".parquet", MAPS: ".safetensors", INPUTS: ".parquet"}  # in the order in which they are written
ABOUT = b"calig_fast"  # key of the metadata of an inputs file


@dataclass(frozen=True)
class Content:
    """The files of one part.

    Args:
        name: of the part.
        files: content by folder, `UNITS` and `MAPS` where there is any, and `INPUTS`.
        inputs: number of inputs.
        failed: number of them without an explanation.
        rows: number of rows of `UNITS`.
        seconds: of work.
    """

    name: str
    files: Mapping[str, bytes]
    inputs: int
    failed: int
    rows: int
    seconds: float = 0.0


@dataclass(frozen=True)
class About:
    """The statement of a part about itself, in the metadata of its inputs file.

    Args:
        name: of the part.
        work: digest of the work.
        record: of the work.
        inputs: number of inputs.
        failed: number of them without an explanation.
        rows: number of rows.
        sizes: bytes of its other files, by folder.
    """

    name: str
    work: str
    record: Mapping[str, Any]
    inputs: int
    failed: int
    rows: int
    sizes: Mapping[str, int]

    def written(self) -> dict[str, str]:
        """The metadata of the file."""
        return {ABOUT.decode(): json.dumps(vars(self) | {"sizes": dict(self.sizes)}, sort_keys=True)}


def name_of(work: str, inputs: Iterable[tuple[Id, str]]) -> str:
    """The name of a part: 32 hexadecimal digits of the work and of the ids and contents of its inputs.

    Args:
        work: digest of the work.
        inputs: (id, digest of the content) in their order.
    """
    digest = hashlib.sha256(work.encode())
    for id, content in inputs:
        one = f"{type(id).__name__}:{id}".encode("utf-8", "surrogatepass")
        digest.update(f"{len(one)}:".encode() + one + content.encode())
    return digest.hexdigest()[:32]


class Folder:
    """The parts in a folder.

    A part is there where its inputs file is, which is written last, and the files that it names.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.there: dict[str, About] = {}
        self.aside: dict[str, About] = {}
        self._records: dict[str, Mapping[str, Any]] = {}  # once for all parts of a work

    def look(self) -> None:
        """Read what parts there are, and change nothing."""
        self.there, self.aside = self._scan(self.path), self._scan(self.path / ASIDE)

    def open(self) -> None:
        """Read what parts there are; files of parts that a kill left incomplete are removed."""
        self.look()
        for file in _files(self.path / INPUTS):
            if file.stem not in self.there:  # of another release, or damaged
                self._move_aside(file.stem)
        for kind in (UNITS, MAPS):
            for file in _files(self.path / kind):
                if file.stem in self.there:
                    continue
                if (self.path / ASIDE / INPUTS / f"{file.stem}{SUFFIXES[INPUTS]}").exists():  # killed between the two
                    self._rename(file.stem, kind, aside=True)
                else:
                    files.remove(file)

    def _scan(self, folder: Path) -> dict[str, About]:
        parts = {}
        for file in _files(folder / INPUTS):
            about = read_about(file)
            if about is not None and about.name == file.stem and _is_whole(folder, about):
                parts[about.name] = self._with_one_record(about)
        return parts

    def write(self, content: Content, about: About) -> None:
        """Write the files of a part, its inputs file last.

        Raises:
            OSError: the disk is full, or the permission is missing; the part is not there.
        """
        for kind in SUFFIXES:
            if kind in content.files:
                folder = files.make_folder(self.path / kind, "out")
                files.write(folder / f"{content.name}{SUFFIXES[kind]}", content.files[kind])
        self.there[content.name] = self._with_one_record(about)

    def _with_one_record(self, about: About) -> About:
        return replace(about, record=self._records.setdefault(about.work, about.record))

    def set_aside(self, name: str) -> None:
        """Move a part out of the tables; `restore` brings it back."""
        self._move_aside(name)
        self.aside[name] = self.there.pop(name)

    def restore(self, name: str) -> None:
        """Move a part back into the tables."""
        for kind in SUFFIXES:
            self._rename(name, kind, aside=False)
        self.there[name] = self.aside.pop(name)

    def _move_aside(self, name: str) -> None:
        for kind in reversed(SUFFIXES):
            self._rename(name, kind, aside=True)

    def _rename(self, name: str, kind: str, aside: bool) -> None:
        ends = [self.path / ASIDE / kind / f"{name}{SUFFIXES[kind]}", self.path / kind / f"{name}{SUFFIXES[kind]}"]
        old, new = reversed(ends) if aside else ends
        if old.exists():
            files.make_folder(new.parent, "out")
            files.move(old, new)

    def file(self, name: str, kind: str) -> Path:
        """The place of a file of a part, in the tables or aside."""
        folder = self.path if name in self.there else self.path / ASIDE
        return folder / kind / f"{name}{SUFFIXES[kind]}"


def read_about(file: Path) -> About | None:
    """The statement of an inputs file about its part; None where it cannot be read."""
    parquet = needed("pyarrow.parquet", "corpus", "a corpus")
    try:
        metadata = parquet.read_metadata(file).metadata or {}
        return About(**json.loads(metadata[ABOUT]))
    except (KeyError, ValueError, TypeError, OSError):  # ArrowInvalid is a ValueError
        return None


def _is_whole(folder: Path, about: About) -> bool:
    def size(kind: str) -> int:
        try:
            return os.stat(folder / kind / f"{about.name}{SUFFIXES[kind]}").st_size
        except OSError:
            return -1

    return all(size(kind) == wanted for kind, wanted in about.sizes.items())


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for name in sorted(os.listdir(folder)):
            if not name.startswith(".") and Path(name).suffix in SUFFIXES.values():
                yield folder / name
