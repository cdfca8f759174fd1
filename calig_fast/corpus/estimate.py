"""`estimate`: memory and time of the explanations of a corpus, from a short probe."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from typing_extensions import Unpack

from .. import Explainer, ExplainOptions
from .._utils.arguments import integer
from . import memory
from .columns import Columns
from .explaining import FIRST, MOST, TOKENS, Maker, Tables, decoded, lengths
from .items import Item
from .sources import Source, opened
from .work import work_of
from .workers import threads as threads_of_torch

KEPT = 2048  # inputs whose lengths stand for all
PICTURES = 64  # the same of pictures, which take more memory
PROBES = 12  # inputs that are timed, of all lengths
TOGETHER = 4  # inputs of a call of the probe
PART = 64  # inputs of a part, unless the caller says another number
# Memory of a run over that of its largest batch, for the pieces that the batches before it left: 1.0 to 1.3 in seven
# cases of `benchmarks.bench_estimate` (glibc 2.36).
BATCHES = 1.1
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
    count, sample = _sample(source)
    items = [replace(item, value=value) for item in sample for value, error in [decoded(item)] if not error]
    if not items:
        raise ValueError("inputs: no input can be explained, so there is nothing to estimate")
    sizes = lengths([item.value for item in items], explainer.processor)
    order = sorted(range(len(items)), key=lambda i: sizes[i])
    part = min(part_size, count)
    together = min(MOST, TOKENS // max(sizes), part - FIRST if part > FIRST else part)
    largest = order[-max(1, together) :]
    probes = _spread(order, PROBES)
    groups = [probes[first : first + TOGETHER] for first in range(0, len(probes), TOGETHER)]
    start = _spread(order, FIRST)
    maker = Maker(explainer, work_of(explainer, {}), tables or Tables(), source.numbered)

    def timed(places: Sequence[int]) -> float:
        """Seconds of a batch, its rows included."""
        begun = time.perf_counter()
        maker.batch([items[i] for i in places])
        return time.perf_counter() - begun

    process = memory.of_process()
    with threads_of_torch(threads), memory.above() as peak:
        first = timed(largest)
        explainer.forget()
        fresh = timed(start)
        times = [timed(group) for group in groups]
    b, c = _fitted([[sizes[i] for i in group] for group in groups], times)
    all_sizes = np.array(sizes, dtype=float)
    costs = b * all_sizes + c * all_sizes**2
    # the first inputs of each part are explained without the knowledge of others, and those of a process prepare it
    fresh = max(1.0, fresh / costs[start].sum())
    slower = (fresh - 1) * min(1.0, FIRST / part)
    first = max(0.0, first - fresh * costs[largest].sum())
    scale = count / len(sample)
    return Estimate(
        inputs=count,
        tokens=int(all_sizes.sum() * scale),
        seconds=float(costs.sum() * scale / workers * (1 + slower) + first),
        peak_bytes=int(peak[0] * (BATCHES if count > len(largest) else 1)),
        workers=workers,
        probed=len({*probes, *start, *largest}),
        process_bytes=process,
        available_bytes=memory.available(),
    )


def _spread(order: Sequence[int], most: int) -> list[int]:
    """Some of the inputs, of all lengths."""
    places = np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))
    return [order[place] for place in places]


def _sample(source: Source) -> tuple[int, list[Item]]:
    """The number of inputs, and some drawn at random."""
    draw, count = random.Random(0), 0
    sample: list[Item] = []
    for item in source.items():
        count += 1
        most = KEPT if isinstance(item.value, str | tuple) else PICTURES
        if len(sample) < most:
            sample.append(item)
        elif (place := draw.randrange(count)) < most:
            sample[place] = item
    return count, sample


def _fitted(sizes: Sequence[Sequence[int]], times: Sequence[float]) -> tuple[float, float]:
    """b and c of the least squares fit of sum(b n + c n^2) to the times, relative to each; neither below zero."""
    table = np.array([[sum(group), sum(n**2 for n in group)] for group in sizes], dtype=float)
    weight = 1 / np.maximum(np.array(times), 1e-9)
    fits = []
    for columns in ((0, 1), (0,), (1,)):
        part = table[:, columns] * weight[:, None]
        fit, *_ = np.linalg.lstsq(part, np.ones(len(times)), rcond=None)
        full = np.zeros(2)
        full[list(columns)] = fit
        if (fit >= 0).all():
            fits.append((float(((table @ full) * weight - 1).std()), *full.tolist()))
    _, b, c = min(fits)
    return b, c
