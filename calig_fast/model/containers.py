"""Tensors inside what modules take and return: tensors, containers, dataclasses and namespaces of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The same container with `change` of every value in it that is no container."""

    def one(part: Any) -> Any:
        names = _names(part)
        if names is None:
            return change(part)
        made = copy.copy(part)
        for name in names:
            object.__setattr__(made, name, mapped(change, getattr(part, name)))
        return made

    return one(value) if isinstance(value, Tensor) or _names(value) is not None else tree_map(one, value)


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in a container, in order."""
    tensors: list[Tensor] = []

    def note(part: Any) -> Any:
        if isinstance(part, Tensor):
            tensors.append(part)
        return part

    mapped(note, value)
    return tensors


def parts(name: str, value: Any) -> list[tuple[str, Any]]:
    """The values of a mapping, a dataclass or a namespace by their own names; any other value under the name given."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    names = None if isinstance(value, Tensor) else _names(value)
    return [(name, value)] if names is None else [(own, getattr(value, own)) for own in names]


def _names(value: Any) -> list[str] | None:
    """The attributes of an object that is a container by them, None for any other."""
    if isinstance(value, SimpleNamespace):
        return list(vars(value))
    if is_dataclass(value) and not isinstance(value, type | Mapping):
        return [f.name for f in fields(value) if hasattr(value, f.name)]
    return None
