"""The cost of batches, from a few that are explained and timed."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import Explainer
from .._utils import heap
from .explaining import Maker
from .items import Id, Item

PROBES = 12  # inputs that are timed, of all lengths
TOGETHER = 4  # inputs of a call; with the first call of a part these make `MEASURED` calls
MEASURED = 4  # calls of a part that measure the rounding in 16 bits, as `pipeline.rounding` does
# Memory of a run over that of its first batch and a large one after it, for the pieces that others leave and for the
# tables: 1.08 is the middle of twelve cases of `benchmarks.bench_estimate`, 0.91 to 1.30 (glibc 2.36).
LEFT = 1.08
SHORT = 2.0  # seconds: batches that take less are timed twice, without what the process makes once


@dataclass(frozen=True)
class Cost:
    """The cost of parts in one process.

    Args:
        steady: seconds of all batches.
        once: seconds that a process takes once, as for the code of its products.
        peak_bytes: memory at its peak.
    """

    steady: float
    once: float
    peak_bytes: int


class Probe:
    """Inputs that are explained to learn the cost of all.

    The seconds of a batch are taken to be b sum n + c sum n^2, with n tokens of each input. b and c are fitted to
    groups of inputs of all lengths, and to the largest batches.

    Args:
        maker: of parts.
        items: inputs.
        sizes: their lengths.
        peak: memory at its peak up to now, in bytes, which changes; see `memory.above`.

    Attributes:
        probed: inputs that were explained.
    """

    def __init__(self, maker: Maker, items: Sequence[Item], sizes: Sequence[int], peak: Sequence[int]) -> None:
        self._maker, self._sizes = maker, {item.id: size for item, size in zip(items, sizes, strict=True)}
        self._by_size = sorted(items, key=lambda item: self._sizes[item.id])
        self._peak = peak
        self._pads = _pads(maker.explainer, self._by_size[0].value)
        self.probed: set[Id] = set()

    def cost(self, parts: Sequence[Sequence[list[Item]]]) -> Cost:
        """The cost of parts, each given as its batches."""
        begins = sorted((part[0] for part in parts), key=self._work)
        start = begins[len(begins) // 2]
        large = self._large(parts)
        first = self._timed(start, large)
        peak = self._peak[0]
        if not large:
            return Cost(first[0], 0.0, peak)
        probes = _spread(self._by_size, PROBES)
        groups = [probes[place : place + TOGETHER] for place in range(0, len(probes), TOGETHER)]
        made = [self._seconds(group) for group in groups]
        again = self._timed(start, groups)
        second = self._timed(start, large) if sum(first[1:]) < SHORT else [again[0], *first[1:]]
        b, c = _fitted([self._work(batch) for batch in (*large, *groups)], [*second[1:], *again[1:]])

        def steady(batch: Sequence[Item]) -> float:
            linear, square = self._work(batch)
            return b * linear + c * square

        later = 1.0  # the first calls of a part in 16 bits measure the rounding, and the others do not
        if max(map(len, parts)) > MEASURED:
            later = min(1.0, sum(map(self._seconds, groups)) / sum(again[1:]))
        factors = [max(1.0, again[0] / steady(start)), *[1.0] * (MEASURED - 1)]
        seconds = sum(
            steady(batch) * (factors[place] if place < MEASURED else later)
            for part in parts
            for place, batch in enumerate(part)
        )
        # of the groups as far as there are batches beside the first and the large
        others = min(1.0, max(0, sum(map(len, parts)) - 1 - len(large)) / len(groups))
        return Cost(seconds, _over(first, second) + others * _over(made, again[1:]), int(LEFT * peak))

    def _work(self, batch: Sequence[Item]) -> tuple[int, int]:
        """n and n^2 summed over the rows of a batch."""
        rows = [self._sizes[item.id] for item in batch]
        rows = [max(rows)] * len(rows) if self._pads else rows
        return sum(rows), sum(n**2 for n in rows)

    def _large(self, parts: Sequence[Sequence[list[Item]]]) -> list[list[Item]]:
        """The batches that take the most memory: of few long inputs or of many short ones; none if there is one."""
        batches = [batch for part in parts for batch in part]
        if len(batches) == 1:
            return []
        rest = [batch for part in parts for batch in part[1:]] or batches
        longest, most = max(rest, key=self._work), max(rest, key=len)
        return [longest, most] if len(most) > len(longest) else [longest]

    def _timed(self, start: Sequence[Item], batches: Sequence[Sequence[Item]]) -> list[float]:
        """Seconds of the first batch of a part, without the knowledge of others, and of batches after it."""
        self._maker.explainer.forget()
        times = [self._seconds(start)]
        for batch in batches:
            heap.give_back()
            times.append(self._seconds(batch))
        return times

    def _seconds(self, batch: Sequence[Item]) -> float:
        """Seconds of a batch, its rows included."""
        self.probed.update(item.id for item in batch)
        begun = time.perf_counter()
        self._maker.batch(list(batch))
        return time.perf_counter() - begun


def _pads(explainer: Explainer, value: Any) -> bool:
    """Return True if padding costs as much as tokens: the autograd engine runs the model on whole batches."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return explainer(value).engine == "autograd"
    return False


def _over(first: Sequence[float], second: Sequence[float]) -> float:
    """Seconds that the first times took more than the second."""
    return sum(max(0.0, one - two) for one, two in zip(first, second, strict=True))


def _spread(by_size: Sequence[Item], most: int) -> list[Item]:
    """Some of the inputs, of all lengths."""
    places = np.unique(np.linspace(0, len(by_size) - 1, most).round().astype(int))
    return [by_size[place] for place in places]


def _fitted(work: Sequence[tuple[int, int]], times: Sequence[float]) -> tuple[float, float]:
    """b and c of the least squares fit of b n + c n^2 to the times, relative to each; neither below zero.

    Args:
        work: n and n^2, summed over the inputs of each time.
        times: seconds.
    """
    table = np.array(work, dtype=float)
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
