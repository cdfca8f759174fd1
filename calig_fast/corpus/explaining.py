"""One part explained: inputs packed into batches by their tokens, and a bad input told from the good ones."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import Attribution, Explainer, ExplainOptions
from .._utils import heap
from . import tables
from .items import Item, Picture
from .parts import INPUTS, MAPS, UNITS, About, Content
from .tables import Explained
from .work import Work

FIRST = 8  # inputs of the first batch of a part, from which the Explainer learns for the others
MOST = 64  # inputs of a batch
TOKENS = 4096  # of a batch, padding included
MAP_BYTES = 1 << 26  # of the context maps of a batch
BUDGET = "memory_budget"  # that has room for some inputs and not for others
OPTIONS = ExplainOptions.__optional_keys__ - {BUDGET}  # arguments that every input shares
MODEL = ("model", "encoder", "processor", "engine")  # at fault where no input of a part can be explained


@dataclass(frozen=True)
class Tables:
    """The rows that are kept of an explanation.

    Args:
        by: unit of a row, None for tokens and patches.
        layers: rows of `layer_scores` to keep, None for all.
        maps: keep the context maps.
    """

    by: str | None = None
    layers: tuple[int, ...] | None = None
    maps: bool = False


@dataclass(frozen=True)
class Task:
    """A part to be made.

    Args:
        name: of the part.
        items: inputs to explain, with the digests of their contents.
        kept: inputs that another part has explained already.
    """

    name: str
    items: Sequence[tuple[Item, str]]
    kept: Sequence[Explained] = ()


@dataclass(frozen=True)
class Maker:
    """All that a process needs to make parts.

    Args:
        explainer: with the options of the work.
        work: the work.
        tables: the rows that are kept.
        numbered: ids are numbers.
    """

    explainer: Explainer
    work: Work
    tables: Tables
    numbered: bool

    def __call__(self, task: Task) -> tuple[Content, About]:
        """Make a part. Its rows do not depend on the parts that were made before.

        Raises:
            ValueError, TypeError: an option that no input can be explained with.
            MemoryError: the memory is full.
        """
        begun = time.perf_counter()
        made = [*task.kept, *self.explained(task.items)]
        about = {"work": self.work.digest, "schema_version": str(self.work.record["schema_version"])}
        units = tables.unit_table(made, self.numbered, self.work.digest)
        written = {} if units is None else {UNITS: tables.encoded(units, about)}
        maps = {f"{one.id}": one.maps for one in made if one.maps is not None}
        if maps:
            from safetensors.torch import save

            written[MAPS] = save(maps)
        failed = sum(one.units is None for one in made)
        rows = 0 if units is None else units.num_rows
        sizes = {kind: len(content) for kind, content in written.items()}
        description = About(task.name, self.work.digest, self.work.record, len(made), failed, rows, sizes)
        inputs = tables.input_table(made, self.numbered, self.work.digest)
        written[INPUTS] = tables.encoded(inputs, about | description.written())
        seconds = time.perf_counter() - begun
        return Content(task.name, written, len(made), failed, rows, seconds), description

    def explained(self, items: Sequence[tuple[Item, str]]) -> list[Explained]:
        """Explain inputs from a fresh start, in batches of similar length."""
        self.explainer.forget()
        contents = {item.id: content for item, content in items}
        failed, ready = [], []
        for item, content in items:
            value, error = decoded(item)
            if error:
                failed.append(_failed(item, content, error))
            else:
                ready.append(replace(item, value=value))
        made: list[Explained] = []
        for batch in self.batches(ready):
            heap.give_back()  # what a batch takes does not depend on those before it
            made += self.batch(batch)
        if len(made) > 1 and all(_names(str(one.told["error"] or ""), MODEL) for one in made):
            raise ValueError(made[0].told["error"])
        return failed + [replace(one, content=contents[one.id]) for one in made]

    def batches(self, items: Sequence[Item], sizes: Sequence[int] | None = None) -> Iterator[list[Item]]:
        """Batches of similar length; the first has a few inputs of all lengths.

        Args:
            items: of a part.
            sizes: their lengths, where they are known.
        """
        sizes = lengths([item.value for item in items], self.explainer.processor) if sizes is None else sizes
        order = sorted(range(len(items)), key=lambda i: sizes[i])
        step = max(1, len(order) // FIRST)
        first = order[step // 2 :: step][:FIRST] if len(order) > FIRST else []
        if first:
            yield [items[i] for i in first]
        taken = set(first)
        batch: list[int] = []
        for i in (i for i in order if i not in taken):
            if batch and (len(batch) == MOST or self._cost(len(batch) + 1, sizes[i]) > 1):
                yield [items[j] for j in batch]
                batch = []
            batch.append(i)
        if batch:
            yield [items[i] for i in batch]

    def _cost(self, count: int, longest: int) -> float:
        """The share of a batch's bounds that so many inputs take."""
        cost = count * longest / TOKENS
        if self.tables.maps:
            layers = len(self.explainer.encoder.blocks) or 12
            cost = max(cost, count * layers * 4 * longest**2 / MAP_BYTES)
        return cost

    def batch(self, items: list[Item]) -> list[Explained]:
        """Explain a batch; where it fails, its halves, down to the input at fault."""
        begun = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `truncated` and `converged` are columns
                a = self.explainer([item.value for item in items])
        except (MemoryError, torch.OutOfMemoryError, ImportError):
            raise
        except Exception as error:  # of the model's or the tokenizer's own code, too
            if isinstance(error, ValueError | TypeError) and _names(str(error), OPTIONS):
                raise
            if len(items) == 1:
                return [_failed(items[0], "", _reason(error))]
            half = len(items) // 2
            return [*self.batch(items[:half]), *self.batch(items[half:])]
        return self._rows(a, items, time.perf_counter() - begun)

    def _rows(self, a: Attribution, items: list[Item], seconds: float) -> list[Explained]:
        units = tables.units_of(a, self.tables.by, self.tables.layers)
        sources = list(range(a.batch)) if a.source is None else a.source.tolist()
        rows: dict[int, list[int]] = {}
        for row, source in enumerate(sources):
            rows.setdefault(source, []).append(row)
        tokens = int(a.mask.sum())
        explanations = []
        for number, item in enumerate(items):
            columns = tables.told_of(a, rows[number])
            columns["seconds"] = seconds * int(a.mask[rows[number]].sum()) / tokens
            real = a.mask[rows[number][0]].nonzero().flatten()
            maps = None if a.maps is None else a.maps[rows[number]][:, :, real[:, None], real].contiguous()
            explanations.append(Explained(item.id, "", units[number], columns, maps))
        return explanations


def decoded(item: Item) -> tuple[Any, str]:
    """The input of `explain` that an item is, and the reason why it is none."""
    if item.error:
        return None, item.error
    if not isinstance(item.value, Picture):
        return item.value, ""
    try:
        return item.value.decoded(), ""
    except ValueError as error:
        return None, str(error)


def lengths(values: Sequence[Any], processor: Any) -> list[int]:
    """Tokens of every text as its tokenizer counts them, cut at the model's length; 1 for all else."""
    texts = [value for value in values if isinstance(value, str | tuple)]
    if len(texts) < len(values) or not texts or not callable(processor):
        return [_length(value) for value in values]
    first = [value if isinstance(value, str) else value[0] for value in texts]
    second = [value[1] for value in texts] if all(isinstance(value, tuple) for value in texts) else None
    try:
        counted = [len(ids) for ids in processor(first, second, truncation=False, verbose=False)["input_ids"]]
    except Exception:  # of a tokenizer at a text that explain reports
        return [len(text) for text in first]
    longest = getattr(processor, "model_max_length", None) or 10**9
    return [min(count, longest) for count in counted]


def _length(value: Any) -> int:
    ids = value.get("input_ids") if isinstance(value, Mapping) else None
    return 1 if ids is None else int(torch.as_tensor(ids).numel())


def _names(error: str, arguments: Collection[str]) -> bool:
    """Return True for an error that begins with the name of one of these arguments."""
    return error.partition(":")[0] in arguments


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).replace("input [0]", "the input")
    return text if _names(text, (*MODEL, "inputs", BUDGET)) else f"{type(error).__name__}: {text}"


def _failed(item: Item, content: str, error: str) -> Explained:
    return Explained(item.id, content, None, {"error": error})
