"""The engine that a call leaves for the next one: its clone of the model, and the memory of copied weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

from ..base import Engine
from .engine import NativeEngine
from .workspace import Workspace


class EngineLease:
    """At most one engine between calls. Concurrent calls make their own. Copied or pickled, it is an empty one."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Engine, Hashable]] = deque(maxlen=1)

    def __reduce__(self) -> tuple[Any, ...]:
        return EngineLease, ()

    def take(self, key: Hashable) -> tuple[Engine | None, Workspace | None]:
        """The engine of an earlier call on the same model, its weights read anew; None where another was asked for.

        Args:
            key: all that an engine is made of beside the model.

        Returns:
            the engine, and where there is none the workspace of the one that does not fit.

        Raises:
            ValueError: what `Engine.read` raises.
        """
        try:
            engine, made_of = self._kept.pop()
        except IndexError:
            return None, None
        if made_of == key:
            engine.read()
            return engine, None
        return None, engine.workspace if isinstance(engine, NativeEngine) else None

    def give(self, engine: Engine, key: Hashable) -> None:
        """Keep an engine for the next call; one whose weights are copies of the model's is let go."""
        engine.tap.forget()
        if engine.shares_weights:
            self._kept.append((engine, key))

    def forget(self) -> None:
        """Let go of the recordings of the engine that is kept: batches padded for them differ by rounding."""
        for engine, _ in self._kept:
            if isinstance(engine, NativeEngine):
                engine.workspace.forget()

    def outdate(self) -> None:
        """Of the engine that is kept only the workspace serves from now on: its clone is none of the model's."""
        self._kept.extend([(engine, None) for engine, _ in self._kept])
