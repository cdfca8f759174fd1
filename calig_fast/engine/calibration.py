"""Where the adaptive rule starts: what the paths of earlier inputs needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .quadrature import FIRST

MENU = (4, 6, 8, 10, 12, 16, 20, 24, 32)
MEMORY = 64
SHARE = 0.75  # of the paths should be done in one go: a path that is not pays for twice its intervals


class Calibration:
    """Intervals that each layer's paths would have needed, in the calls before; the next call starts with those.

    A call asks before it learns, so what one input gets does not depend on the others of its batch.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], deque[int]] = {}

    def first(self, kind: str, layer: int) -> int:
        """Intervals to start a layer's paths with.

        Args:
            kind: what paths must have in common to be alike: method, reference, scalar, tolerance.
            layer: the block.
        """
        seen = sorted(self._seen.get((kind, layer), ()))
        if not seen:
            return FIRST
        wanted = seen[min(len(seen) - 1, int(SHARE * len(seen)))]
        return next((m for m in MENU if m >= wanted), MENU[-1])

    def learn(self, kind: str, needs: Iterable[tuple[int, int | None]]) -> None:
        """Remember what paths needed: pairs of layer and intervals, None where a path tells nothing."""
        for layer, intervals in needs:
            if intervals is not None:
                self._seen.setdefault((kind, layer), deque(maxlen=MEMORY)).append(intervals)
