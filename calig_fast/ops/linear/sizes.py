"""Calls of linear at the sizes of models, to be timed."""

from __future__ import annotations

from typing import Any

from ..model_sizes import Batch


def _timed(batch: Batch) -> tuple[Any, ...]:
    weight = batch.draw(4 * batch.width, batch.width)
    return batch.draw(batch.tokens, batch.width), weight, batch.draw(4 * batch.width), None, False


def _timed_back(batch: Batch) -> tuple[Any, ...]:
    weight = batch.draw(4 * batch.width, batch.width)
    return batch.draw(batch.tokens, 4 * batch.width), weight, None, None, True


TIMED = {"": _timed, "back": _timed_back}


def products(batch: Batch, variant: str) -> int:
    """Floating-point operations of its matrix products."""
    return 2 * batch.tokens * batch.width * 4 * batch.width
