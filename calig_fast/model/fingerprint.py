"""The parts of a model that a clone copies: has any of them changed since the clone was made?

A clone shares the weights, so it sees what is written into them. It copies which modules there are, their attributes,
hooks and configuration. Every one of them is held here and compared by identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

_TABLES = (dict, list, tuple)


class Fingerprint:
    """The parts of a model at one time. Copied or pickled, it fits no model.

    Args:
        model: the module tree, or None for none.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._parts = [] if model is None else list(_parts(model))
        self._places = list(map(_place, self._parts))

    def __reduce__(self) -> tuple[Any, ...]:
        return Fingerprint, (None,)

    def fits(self, model: nn.Module) -> bool:
        """Return True if a clone of then is one of now."""
        now = list(_parts(model))
        if len(now) != len(self._parts):
            return False
        same = all(a is b for a, b in zip(now, self._parts, strict=True))
        return same and list(map(_place, now)) == self._places


def _parts(model: nn.Module) -> Iterator[Any]:
    """Every module, attribute, weight, hook and setting of a module tree, one after another."""
    for module in model.modules():
        yield from (module, type(module))
        for name, value in vars(module).items():
            yield name
            if isinstance(value, _TABLES):
                yield from _entries(value)
            else:
                yield value
            if hasattr(value, "_attn_implementation"):
                yield from vars(value).values()


def _entries(table: Any) -> Iterator[Any]:
    if isinstance(table, dict):
        yield from table.keys()
        table = table.values()
    yield from table


def _place(part: Any) -> Any:
    """The place of a tensor in memory, since `.data` can be exchanged; None for all else."""
    if not isinstance(part, Tensor):
        return None
    try:
        return part.data_ptr(), part.dtype, part.shape, part.device
    except RuntimeError:  # a tensor without memory of its own is never the same
        return object()
