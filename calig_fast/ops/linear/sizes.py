"""Calls of linear at the sizes of models, to be timed."""

from __future__ import annotations

from typing import Any

from ..model_sizes import WIDTH, Batch


def _timed(batch: Batch) -> tuple[Any, ...]:
    weight = batch.draw(4 * WIDTH, WIDTH)
    return batch.draw(batch.tokens, WIDTH), weight, batch.draw(4 * WIDTH), None, False


def _timed_back(batch: Batch) -> tuple[Any, ...]:
    weight = batch.draw(4 * WIDTH, WIDTH)
    return batch.draw(batch.tokens, 4 * WIDTH), weight, None, None, True


TIMED = {"": _timed, "back": _timed_back}


def products(lengths: list[int], variant: str) -> int:
    """Floating-point operations of its matrix products."""
    return 2 * sum(lengths) * WIDTH * 4 * WIDTH
