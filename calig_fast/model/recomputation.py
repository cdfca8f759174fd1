"""Checkpoints that run their blocks without gradients and run them again in the backward pass: here they run once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.checkpoint import CheckpointFunction

_INHERITED: Any = CheckpointFunction.apply
_ASKED = threading.local()
_LOCK = threading.Lock()
_running = 0


@contextlib.contextmanager
def without_checkpoints() -> Iterator[None]:
    """A context in which re-entrant checkpoints of this thread call their function itself; others are as they were."""
    global _running
    with _LOCK:
        _running += 1
        CheckpointFunction.apply = staticmethod(_apply)
    _ASKED.depth = getattr(_ASKED, "depth", 0) + 1
    try:
        yield
    finally:
        _ASKED.depth -= 1
        with _LOCK:
            _running -= 1
            if not _running:
                del CheckpointFunction.apply  # the one that it inherits is seen again


def _apply(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
    if getattr(_ASKED, "depth", 0):
        return function(*args)
    return _INHERITED(function, preserve_rng_state, *args)
