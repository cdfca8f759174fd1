"""The parts that a corpus needs: those that are there, and those to be made, without the rows that others have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..results.tables import needed
from .explaining import Task
from .items import Id, Item, content
from .parts import INPUTS, MAPS, UNITS, Folder, name_of
from .sources import Source
from .tables import ID, SETTINGS, Explained

MOST_BYTES = 1 << 25  # of the inputs of a part
HELD = 4  # parts whose tables are kept in memory for the next inputs
Digested = tuple[Item, str]


def groups(source: Source, size: int) -> Iterator[list[Digested]]:
    """The inputs part by part: consecutive ones, `size` of them or `MOST_BYTES`.

    Args:
        source: of the inputs.
        size: most inputs of a part.

    Raises:
        ValueError: an id stands twice.
    """
    seen = _Seen()
    group: list[Digested] = []
    held = 0
    for item in source.items():
        if not source.numbered:
            seen.add(item.id)
        if group and (len(group) == size or held + item.size > MOST_BYTES):
            yield group
            group, held = [], 0
        group.append((item, content(item)))
        held += item.size
    if group:
        yield group


def _hashed(value: Any) -> int:
    text = f"{type(value).__name__}:{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class _Seen:
    """Ids that came before, 8 bytes each."""

    def __init__(self) -> None:
        self._sorted: list[Any] = []
        self._last: dict[int, Id] = {}

    def add(self, id: Id) -> None:
        """Add an id.

        Raises:
            ValueError: it is there already.
        """
        number = _hashed(id)
        if number in self._last or any(_has(part, number) for part in self._sorted):
            raise ValueError(f"id_column: the id {id!r} stands twice; give every input an id of its own")
        self._last[number] = id
        if len(self._last) == 4096:
            self._sorted.append(np.sort(np.fromiter(self._last, np.uint64, len(self._last))))
            self._last = {}
            while len(self._sorted) > 1 and len(self._sorted[-2]) <= len(self._sorted[-1]):
                self._sorted.append(np.sort(np.concatenate([self._sorted.pop(), self._sorted.pop()])))


def _has(part: Any, number: int) -> bool:
    place = int(np.searchsorted(part, np.uint64(number)))
    return place < len(part) and int(part[place]) == number


class _Index:
    """The parts that hold an id or a content, 20 bytes for each input."""

    def __init__(self, folder: Folder, names: list[str]) -> None:
        self._names = names
        ids, contents, owners = [], [], []
        for number, name in enumerate(names):
            table = inputs_of(folder, name, ["id", "content"])
            ids += [_hashed(value) for value in table["id"].to_pylist()]
            contents += [_hashed(value) for value in table["content"].to_pylist()]
            owners += [number] * table.num_rows
        self._owners = np.array(owners, dtype=np.int32)
        self._ids, self._contents = self._sorted(ids), self._sorted(contents)

    def _sorted(self, values: list[int]) -> tuple[Any, Any]:
        numbers = np.array(values, dtype=np.uint64)
        order = np.argsort(numbers, kind="stable")
        return numbers[order], self._owners[order]

    def with_id(self, id: Id) -> list[str]:
        """The parts that may hold an id."""
        return self._find(self._ids, _hashed(id))

    def with_content(self, digest: str) -> list[str]:
        """The parts that may hold a content."""
        return self._find(self._contents, _hashed(digest))

    def _find(self, table: tuple[Any, Any], number: int) -> list[str]:
        low, high = (int(np.searchsorted(table[0], np.uint64(number), side)) for side in ("left", "right"))
        return [self._names[owner] for owner in dict.fromkeys(table[1][low:high].tolist())]


class Plan:
    """The parts that are done, and those that are to be made.

    Parts that the corpus does not need are set aside before a part with their inputs is made, so that no input is in
    the tables twice. Rows are copied from parts that are aside alone.

    Args:
        folder: of the parts, open.
        work: digest of the work.
        source: of the inputs.
        size: most inputs of a part.
        retry_failed: inputs without an explanation are explained again.

    Attributes:
        done: inputs of parts that are there.
        done_failed: those of them without an explanation.
        copied: inputs whose rows come from other parts.
        wanted: names of the parts of the corpus, as far as it is read.
    """

    def __init__(self, folder: Folder, work: str, source: Source, size: int, retry_failed: bool) -> None:
        self._folder, self._work, self._retry = folder, work, retry_failed
        self._source, self._size = source, size
        self._index: _Index | None = None
        self._loaded = lru_cache(maxsize=HELD)(self._load)
        self.done = self.done_failed = self.copied = 0
        self.wanted: set[str] = set()

    def begin(self) -> None:
        """Set the parts aside that are known not to be needed: of other work, and of inputs that are gone."""
        wanted = None
        if self._source.again and any(about.work == self._work for about in self._folder.there.values()):
            wanted = {self._name(group) for group in self._groups()}
        for name, about in list(self._folder.there.items()):
            unwanted = wanted is not None and name not in wanted
            if unwanted or about.work != self._work or (self._retry and about.failed):
                self._folder.set_aside(name)

    def tasks(self) -> Iterator[Task]:
        """The parts to be made, as the corpus is read."""
        for group in self._groups():
            name = self._name(group)
            self.wanted.add(name)
            if self._is_done(name, group):
                self.done += len(group)
                self.done_failed += self._folder.there[name].failed
            else:
                yield self._task(name, group)

    def end(self) -> None:
        """Set the parts aside that the corpus does not need."""
        for name in [name for name in self._folder.there if name not in self.wanted]:
            self._folder.set_aside(name)

    def _groups(self) -> Iterator[list[Digested]]:
        return groups(self._source, self._size)

    def _name(self, group: list[Digested]) -> str:
        return name_of(self._work, ((item.id, digest) for item, digest in group))

    def _is_done(self, name: str, group: list[Digested]) -> bool:
        about = self._folder.aside.get(name)
        if name in self._folder.there or about is None or (self._retry and about.failed):
            return name in self._folder.there
        self._make_room(group)
        self._folder.restore(name)
        return True

    def _task(self, name: str, group: list[Digested]) -> Task:
        self._make_room(group)
        copies, rest = [], []
        for item, digest in group:
            explanation = self._explained(item, digest)
            if explanation is None:
                rest.append((item, digest))
            else:
                copies.append(explanation)
        self.copied += len(copies)
        return Task(name, tuple(rest), tuple(copies))

    def _make_room(self, group: list[Digested]) -> None:
        """Set every part aside that holds an input of the group; `begin` has done so where the source is read twice."""
        if self._source.again or not self._folder.there:
            return
        for item, _ in group:
            for name in self._indexed().with_id(item.id):
                if name in self._folder.there:
                    self._folder.set_aside(name)

    def _indexed(self) -> _Index:
        if self._index is None:
            live = {name: about for name, about in self._folder.there.items() if name not in self.wanted}
            every = {**self._folder.aside, **live}
            names = [name for name, about in every.items() if about.work == self._work]
            self._index = _Index(self._folder, names)
        return self._index

    def _explained(self, item: Item, digest: str) -> Explained | None:
        """The explanation of a content that a part has which is aside, with the id of the item."""
        if not self._folder.aside:
            return None
        for name in self._indexed().with_content(digest):
            explanation = self._loaded(name).get(digest) if name in self._folder.aside else None
            if explanation is not None and not (self._retry and explanation.units is None):
                return Explained(item.id, digest, explanation.units, explanation.told, explanation.maps)
        return None

    def _load(self, name: str) -> dict[str, Explained]:
        """The inputs of a part by their contents."""
        rows = inputs_of(self._folder, name).to_pylist()
        units, maps = self._units(name), self._maps(name)
        by_content, first = {}, 0
        for row in rows:
            count = row.pop("rows")
            input_units = units.slice(first, count) if count else None
            first += count
            id, digest = row.pop(ID), row.pop("content")
            row.pop(SETTINGS)
            by_content[digest] = Explained(id, digest, input_units, row, maps.get(str(id)))
        return by_content

    def _units(self, name: str) -> Any:
        file = self._folder.file(name, UNITS)
        if not file.exists():
            return None
        parquet = needed("pyarrow.parquet", "corpus", "a corpus")
        return parquet.read_table(file).drop_columns([ID, SETTINGS]).replace_schema_metadata(None)

    def _maps(self, name: str) -> dict[str, Any]:
        file = self._folder.file(name, MAPS)
        if not file.exists():
            return {}
        from safetensors.torch import load_file

        return load_file(file)


def inputs_of(folder: Folder, name: str, columns: list[str] | None = None) -> Any:
    """The table of the inputs of a part, in the order of their ids."""
    parquet = needed("pyarrow.parquet", "corpus", "a corpus")
    return parquet.ParquetFile(folder.file(name, INPUTS)).read(columns=columns)
