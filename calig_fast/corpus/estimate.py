"""`estimate`: memory and time of the explanations of a corpus, from a short probe."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from .. import Explainer, ExplainOptions
from .._utils.arguments import integer
from .columns import Columns
from .explaining import TOKENS, decoded, lengths
from .items import Item
from .sources import Source, opened

KEPT = 2048  # inputs whose lengths stand for all
PICTURES = 64  # the same of pictures, which take more memory
PROBES = 12  # inputs that are timed, of all lengths
TOGETHER = 4  # inputs of a call of the probe
LARGEST = 33  # inputs of the call whose memory is measured: one, and the most that Explainer takes at once
EVERY = 0.002  # seconds between two looks at the memory


@dataclass(frozen=True)
class Estimate:
    """The expected cost of a corpus.

    Args:
        inputs: number of inputs.
        tokens: of all inputs; as many as inputs for pictures.
        seconds: of all inputs on all workers, without their start.
        peak_bytes: memory of one worker above the model, at its peak.
        workers: that share the work.
        probed: inputs that were explained for this.
    """

    inputs: int
    tokens: int
    seconds: float
    peak_bytes: int
    workers: int
    probed: int

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs, {self.tokens:,} tokens: about {self.seconds:,.0f} s on {self.workers} "
            f"worker{'s' if self.workers > 1 else ''}, {self.peak_bytes / 2**20:,.0f} MiB above the model in each "
            f"(from {self.probed} inputs)"
        )


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
    return of_source(explainer, source, integer("workers", workers, 1), integer("threads", threads, 1))


def of_source(explainer: Explainer, source: Source, workers: int, threads: int) -> Estimate:
    """The same of an open corpus."""
    count, sample = _sample(source)
    values = [value for value, error in map(decoded, sample) if not error]
    if not values:
        raise ValueError("inputs: no input can be explained, so there is nothing to estimate")
    sizes = lengths(values, explainer.processor)
    order = sorted(range(len(values)), key=lambda i: sizes[i])
    largest = order[-max(1, min(LARGEST, TOKENS // max(sizes))) :]
    old = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with memory_above() as peak:
            _timed(explainer, [values[i] for i in largest])
        places = np.unique(np.linspace(0, len(order) - 1, PROBES).round().astype(int))
        probes = [order[place] for place in places]
        groups = [probes[first : first + TOGETHER] for first in range(0, len(probes), TOGETHER)]
        _timed(explainer, [values[i] for i in groups[len(groups) // 2]])
        times = [_timed(explainer, [values[i] for i in group]) for group in groups]
    finally:
        torch.set_num_threads(old)
    b, c = _fitted([[sizes[i] for i in group] for group in groups], times)
    all_sizes = np.array(sizes, dtype=float)
    scale = count / len(sample)
    return Estimate(
        inputs=count,
        tokens=int(all_sizes.sum() * scale),
        seconds=float((b * all_sizes + c * all_sizes**2).sum() * scale / workers),
        peak_bytes=peak[0],
        workers=workers,
        probed=len({*probes, *largest}),
    )


def _sample(source: Source) -> tuple[int, list[Item]]:
    """The number of inputs, and some drawn at random."""
    draw, count = random.Random(0), 0
    kept: list[Item] = []
    for item in source.items():
        count += 1
        most = KEPT if isinstance(item.value, str | tuple) else PICTURES
        if len(kept) < most:
            kept.append(item)
        elif (place := draw.randrange(count)) < most:
            kept[place] = item
    return count, kept


def _timed(explainer: Explainer, values: list[Any]) -> float:
    """Seconds of a call; a batch that fails is timed by those of its inputs that do not."""
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            explainer(values)
        except ValueError:
            if len(values) == 1:
                return 0.0
            return sum(_timed(explainer, [value]) for value in values)
    return time.perf_counter() - begun


def _fitted(sizes: Sequence[Sequence[int]], times: Sequence[float]) -> tuple[float, float]:
    """b and c of the least squares fit of sum(b n + c n^2) to the times, relative to each; neither below zero."""
    table = np.array([[sum(group), sum(n**2 for n in group)] for group in sizes], dtype=float)
    weight = 1 / np.maximum(np.array(times), 1e-9)
    found = []
    for columns in ((0, 1), (0,), (1,)):
        part = table[:, columns] * weight[:, None]
        fit, *_ = np.linalg.lstsq(part, np.ones(len(times)), rcond=None)
        full = np.zeros(2)
        full[list(columns)] = fit
        if (fit >= 0).all():
            found.append((float(((table @ full) * weight - 1).std()), *full.tolist()))
    _, b, c = min(found)
    return b, c


def _trim() -> None:
    """Give free memory back to the system, so that its use again counts."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _memory() -> int:
    """Bytes that this process holds now, of the GPU where one is in use."""
    if torch.cuda.is_available() and torch.cuda.memory_allocated():
        return int(torch.cuda.memory_allocated())
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
        return 0


@contextlib.contextmanager
def memory_above() -> Iterator[list[int]]:
    """The largest memory while the context is open, above what it is at its beginning, in bytes."""
    _trim()
    before, found, stop = _memory(), [0], threading.Event()

    def look() -> None:
        while not stop.wait(EVERY):
            found[0] = max(found[0], _memory() - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
