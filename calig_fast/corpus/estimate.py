"""`estimate`: memory and time of the explanations of a corpus, from a short probe."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import Unpack

from .. import Explainer, ExplainOptions
from .._utils.arguments import integer
from . import memory
from .columns import Columns
from .explaining import Maker, Tables, decoded, lengths
from .items import Item
from .probe import Probe
from .sources import Source, opened
from .work import work_of
from .workers import threads as threads_of_torch

KEPT = 2048  # inputs whose lengths stand for all
PICTURES = 64  # the same of pictures, which take more memory
PART = 64  # inputs of a part, unless the caller says another number
SAFETY = 1.5  # by which the peak is multiplied where it is said that a corpus fits


@dataclass(frozen=True)
class Estimate:
    """The expected cost of a corpus.

    Args:
        inputs: number of inputs.
        tokens: of all inputs; as many as inputs for pictures.
        seconds: of all inputs on all workers, without the start of the processes.
        peak_bytes: memory of one worker above the model and the loaded libraries, at its peak.
        workers: that share the work.
        probed: inputs that were explained for this.
        process_bytes: memory of a process with the libraries and the model.
        available_bytes: memory that may still be taken; None where the system does not say.
    """

    inputs: int
    tokens: int
    seconds: float
    peak_bytes: int
    workers: int
    probed: int
    process_bytes: int = 0
    available_bytes: int | None = None

    @property
    def needed_bytes(self) -> int:
        """Memory of all workers, half of each peak added for safety."""
        return int(self.workers * (self.process_bytes + SAFETY * self.peak_bytes))

    @property
    def fits(self) -> bool | None:
        """The memory that is available has room for all workers; None where it is not known."""
        return None if self.available_bytes is None else self.needed_bytes <= self.available_bytes

    def __str__(self) -> str:
        line = (
            f"{self.inputs:,} inputs, {self.tokens:,} tokens: about {self.seconds:,.0f} s on {self.workers} "
            f"worker{'s' if self.workers > 1 else ''}, {self.peak_bytes / 2**20:,.0f} MiB above the model in each "
            f"(from {self.probed} inputs)"
        )
        if self.available_bytes is None:
            return line
        fits = "fits" if self.fits else "does not fit: pass fewer workers= or a smaller memory_budget="
        need, there = (f"{size / 2**30:,.1f} GiB" for size in (self.needed_bytes, self.available_bytes))
        return f"{line}\n{need} in all, with half of each peak added for safety, of {there} that are free: {fits}"


def estimate(
    model: Any,
    inputs: Any,
    processor: Any = None,
    *,
    columns: Columns | None = None,
    workers: int = 1,
    threads: int = 1,
    **options: Unpack[ExplainOptions],
) -> Estimate:
    """Memory and time that the explanations of a corpus take here, from a probe of a few inputs of all lengths.

    The seconds of an input of n tokens are taken to be b n + c n^2, with b and c >= 0 fitted to the probe.

    Args:
        model: see `explain`.
        inputs: see `explain_corpus`; an iterator is used up.
        processor: see `explain`.
        columns: of the inputs, where they are a table.
        workers: processes that share the work, with a core for each.
        threads: threads of each.
        **options: the options of `explain`.

    Raises:
        ValueError, TypeError: see `explain_corpus`; or no input can be explained.
    """
    explainer = Explainer(model, processor, **options)
    source = opened(inputs, columns or Columns())
    return of_source(explainer, source, workers=integer("workers", workers, 1), threads=integer("threads", threads, 1))


def of_source(
    explainer: Explainer,
    source: Source,
    *,
    workers: int,
    threads: int,
    part_size: int = PART,
    tables: Tables | None = None,
) -> Estimate:
    """The same of an open corpus, with the rows that are kept."""
    begun = time.perf_counter()
    count, sample = _sample(source)
    items = [replace(item, value=value) for item in sample for value, error in [decoded(item)] if not error]
    if not items:
        raise ValueError("inputs: no input can be explained, so there is nothing to estimate")
    sizes = lengths([item.value for item in items], explainer.processor)
    maker = Maker(explainer, work_of(explainer, {}), tables or Tables(), source.numbered)
    places = [slice(first, first + part_size) for first in range(0, len(items), part_size)]
    parts = [list(maker.batches(items[place], sizes[place])) for place in places]
    process, scale = memory.of_process(), count / len(sample)
    begins = time.perf_counter() - begun
    with threads_of_torch(threads), memory.above() as peak:
        probe = Probe(maker, items, sizes, peak)
        cost = probe.cost(parts)
    return Estimate(
        inputs=count,
        tokens=int(sum(sizes) * scale),
        seconds=cost.steady * scale / workers + begins + cost.once,
        peak_bytes=cost.peak_bytes,
        workers=workers,
        probed=len(probe.probed),
        process_bytes=process,
        available_bytes=memory.available(),
    )


def _sample(source: Source) -> tuple[int, list[Item]]:
    """The number of inputs, and some drawn at random, in their order."""
    draw, count = random.Random(0), 0
    sample: list[tuple[int, Item]] = []
    for item in source.items():
        most = KEPT if isinstance(item.value, str | tuple) else PICTURES
        if len(sample) < most:
            sample.append((count, item))
        elif (place := draw.randrange(count + 1)) < most:
            sample[place] = count, item
        count += 1
    return count, [item for _, item in sorted(sample, key=lambda one: one[0])]
