"""Targets in the caller's words: class names and numbers of any integer kind, as plain integers."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

AXES = 3  # inputs, targets of each, and the two of a contrast
MOST = 1_000_000  # items of a sequence


def numbered(target: Any, model: nn.Module) -> Any:
    """A target with its class names as numbers.

    Args:
        target: None, "all", a number of any integer kind, a class name of `config.id2label` or `config.label2id` (in
            any case of its letters where that is unambiguous), or nested sequences and arrays of these.
        model: the model, its configuration anywhere inside.

    Returns:
        None, "all", an int, nested lists of ints, or the tensor itself.

    Raises:
        ValueError: an unknown name, or one of two classes.
        TypeError: a bool, or something that is neither a number nor a name.
    """
    if target is None or (isinstance(target, str) and target == "all"):
        return target
    if isinstance(target, Tensor) and target.dim() > 0:
        return target
    return _number(target, _names(model))


def _number(target: Any, names: Sequence[tuple[str, int]], axes: int = AXES) -> Any:
    if isinstance(target, np.ndarray) or (hasattr(target, "tolist") and hasattr(target, "iloc")):
        target = target.tolist()
    if isinstance(target, str):
        return _named(str(target), names)
    if isinstance(target, Sequence) and not isinstance(target, bytes):
        if not axes or len(target) > MOST:
            return _refuse(f"a {type(target).__name__} of more than {MOST} items or {AXES} axes")
        return [_number(one, names, axes - 1) for one in target]
    if isinstance(target, Tensor) and target.dim() > 0:
        return target.tolist() if not target.is_floating_point() else _refuse(target.dtype)
    if isinstance(target, Tensor | np.generic):
        target = target.item()
    if isinstance(target, bool) or not hasattr(target, "__index__"):
        return _refuse(type(target).__name__)
    try:
        return operator.index(target)
    except Exception:  # of the caller's own class
        return _refuse(type(target).__name__)


def _refuse(kind: object) -> Any:
    raise TypeError(f'target: expected None, an int, a class name, a list or a tensor of these, or "all", got {kind}')


def _named(name: str, names: Sequence[tuple[str, int]]) -> int:
    numbers = {number for known, number in names if known == name}
    numbers = numbers or {number for known, number in names if known.casefold() == name.strip().casefold()}
    if len(numbers) == 1:
        return numbers.pop()
    known = ", ".join(repr(one) for one in dict.fromkeys(one for one, _ in names))
    if numbers:
        raise ValueError(f"target: {name!r} is the name of classes {sorted(numbers)}; pass the number of one")
    hint = f"the classes are {known}" if known else "the model's config names no classes"
    raise ValueError(f'target: {name!r} is no class of the model; {hint}; pass one of them, its number, or "all"')


def _names(model: nn.Module) -> list[tuple[str, int]]:
    """Names and numbers of the classes, as the first configuration inside the model tells them."""
    for module in model.modules():
        config = getattr(module, "config", None)
        by_number, by_name = getattr(config, "id2label", None), getattr(config, "label2id", None)
        names = [(str(name), int(number)) for number, name in _items(by_number)]
        known = {name for name, _ in names}
        names += [(str(name), int(number)) for name, number in _items(by_name, swapped=True) if str(name) not in known]
        if names:
            return names
    return []


def _items(table: Any, swapped: bool = False) -> list[tuple[Any, Any]]:
    if isinstance(table, Mapping):
        return list(table.items())
    return list(enumerate(table)) if isinstance(table, list | tuple) and not swapped else []
