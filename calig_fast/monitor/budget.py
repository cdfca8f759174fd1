"""The time budget of looks: a share of the elapsed time, earned before it is spent."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RECENT = 3


class Budget:
    """Time spent on looks, limited to a share of the time since `start`.

    The first look is taken in advance. Every later one waits until two conditions hold, c being its expected cost
    (the most that one of the last three cost):

        c <= share * (time since the last look + c)                 each look is paid by the stretch before it
        spent + c <= share * (time since the start + c)             and so is the debt of the first

    The first rule keeps a long pause (an evaluation, a checkpoint) from buying a burst of looks.

    Args:
        share: of the time, above 0 and at most 1.
        clock: seconds, never running backwards.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share, self.clock = share, clock
        self.spent = 0.0
        self.looks = 0
        self._costs: deque[float] = deque(maxlen=RECENT)
        self._begun: float | None = None
        self._ended = 0.0

    def start(self) -> None:
        """Start the clock; only the first call has an effect."""
        if self._begun is None:
            self._begun = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since `start`."""
        return 0.0 if self._begun is None else self.clock() - self._begun

    @property
    def used(self) -> float:
        """Share of the time since `start` that was spent, time spent before `start` included."""
        elapsed = self.elapsed
        return self.spent / elapsed if elapsed > 0 else 0.0

    def allows(self) -> bool:
        """Return True if the budget covers a look."""
        if not self._costs or self.share == 1:
            return True
        cost, now = max(self._costs), self.clock()
        since_last, since_start = now - self._ended + cost, self.elapsed + cost
        return cost <= self.share * since_last and self.spent + cost <= self.share * since_start

    def charge(self, seconds: float, looked: bool) -> None:
        """Count seconds as spent; `looked` is True if they include a look."""
        self.spent += seconds
        if looked:
            self.looks += 1
            if self.looks == 2:  # the first look includes one-time work, so it does not predict later looks
                self._costs.clear()
            self._costs.append(seconds)
            self._ended = self.clock()
