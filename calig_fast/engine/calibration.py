"""Where the adaptive rule starts: what the paths of earlier inputs needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .quadrature import FIRST

MENU = (4, 6, 8, 10, 12, 14, 16, 20, 24, 32)
MEMORY = 64
SHARE = 0.7  # of the paths should be done in one go: a path that is not pays for twice its intervals
STEEP = 10  # paths that need more intervals than this are tried under the bend
BEND = 0.3  # at block 0 of a MiniLM it brought 12, 12, 14, 14, 16, 22 intervals down to 10, 10, 12, 12, 12, 16


class Start(NamedTuple):
    """How a path begins.

    Args:
        intervals: of the first rule judged.
        bend: of the change of variable.
    """

    intervals: int = FIRST
    bend: float = 0.0


class Need(NamedTuple):
    """What a path that is done tells.

    Args:
        layer: its block.
        bend: its change of variable.
        intervals: how many it would have needed, None where it does not tell.
    """

    layer: int
    bend: float
    intervals: int | None


class Calibration:
    """Intervals that each layer's paths would have needed, in the calls before; the next call starts with those.

    A call asks before it learns, so what one input gets does not depend on the others of its batch.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, float], deque[int]] = {}

    def start(self, kind: str, layer: int) -> Start:
        """How to start a layer's paths.

        Args:
            kind: what paths must have in common to be alike: reference, scalar, tolerance.
            layer: the block.
        """
        plain = _typical(self._seen.get((kind, layer, 0.0), ()))
        bent = _typical(self._seen.get((kind, layer, BEND), ()))
        if plain is None:
            return Start()
        if plain <= STEEP or (bent is not None and bent >= plain):
            return Start(_from_menu(plain))
        return Start(_from_menu(0.8 * plain if bent is None else bent), BEND)

    def learn(self, kind: str, needs: Iterable[Need]) -> None:
        """Remember what paths needed."""
        for need in needs:
            if need.intervals is not None:
                self._seen.setdefault((kind, need.layer, need.bend), deque(maxlen=MEMORY)).append(need.intervals)


def _typical(seen: Sequence[int]) -> int | None:
    return sorted(seen)[min(len(seen) - 1, int(SHARE * len(seen)))] if seen else None


def _from_menu(wanted: float) -> int:
    return next((m for m in MENU if m >= wanted), MENU[-1])
