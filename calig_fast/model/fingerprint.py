"""The parts of a model that a clone copies: has any of them changed since the clone was made?

A clone shares the weights, so it sees what is written into them. It copies which modules there are, their attributes,
hooks and configuration. Every one of them is held here and compared by identity.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import Any

from torch import Tensor, nn

_TABLES = {dict, OrderedDict, list, tuple}


class Fingerprint:
    """The parts of a model at one time. Copied or pickled, it fits no model.

    Args:
        model: the module tree, or None for none.

    Attributes:
        modules: of the tree.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._model = model
        self.modules = [] if model is None else list(model.modules())
        self._classes = list(map(type, self.modules))
        # held, so that no other object gets the place of one of them
        self._held = [list(_parts(module)) for module in self.modules]
        self._seen = list(map(_seen, self.modules))
        self._tensors = [part for parts in self._held for part in parts if isinstance(part, Tensor)]
        self._places = list(map(_place, self._tensors))

    def __reduce__(self) -> tuple[Any, ...]:
        return Fingerprint, (None,)

    def fits(self, model: nn.Module) -> bool:
        """Return True if a clone of then is one of now."""
        # the tree is that of its modules' own tables, so there is no need to walk it again
        return (
            model is self._model
            and list(map(type, self.modules)) == self._classes
            and list(map(_seen, self.modules)) == self._seen
            and list(map(_place, self._tensors)) == self._places
        )


def _parts(module: nn.Module) -> chain[Any]:
    """Every attribute, weight, hook and setting of a module."""
    own = vars(module)
    tables = [_entries(value) for value in own.values() if type(value) in _TABLES and value]
    config = own.get("config")
    settings = vars(config).values() if hasattr(config, "__dict__") else ()
    return chain(own.values(), settings, *tables)


def _entries(table: Any) -> Any:
    return chain(table.keys(), table.values()) if isinstance(table, dict) else table


def _seen(module: nn.Module) -> list[Any]:
    """The names of a module's attributes, and the identities of its parts."""
    return [*vars(module), *map(id, _parts(module))]


def _place(tensor: Tensor) -> Any:
    """The memory of a tensor, since `.data` can be exchanged."""
    try:
        return tensor.data_ptr(), tensor.shape
    except RuntimeError:  # a tensor without memory of its own is never the same
        return object()
