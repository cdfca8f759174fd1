"""The plain values in a model's modules that its weights do not hold: what computes, with which numbers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import nn

_PLAIN = (bool, int, float, str, type(None))
_OF_EVERY_CALL = {"training"}


def traits_of(model: nn.Module) -> tuple[Hashable, ...]:
    """The class of every module, its numbers and flags, and the functions it holds.

    Two calls of one model with the same traits and hooks compute alike, whatever its weights are.

    Args:
        model: any model; not touched.
    """
    return tuple(
        (name, type(module), *((key, _trait(value)) for key, value in vars(module).items() if _tells(key, value)))
        for name, module in model.named_modules()
    )


def _tells(key: str, value: Any) -> bool:
    return key not in _OF_EVERY_CALL and (isinstance(value, _PLAIN) or callable(value))


def _trait(value: Any) -> Hashable:
    return value if isinstance(value, _PLAIN) else id(value)
