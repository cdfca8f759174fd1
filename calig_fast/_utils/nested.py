"""Values in dicts, lists and tuples, however deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The same in containers, with their parts changed; containers of results become plain ones."""
    if isinstance(value, dict):
        return {key: mapped(change, part) for key, part in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        changed = [mapped(change, part) for part in value]
        return changed if isinstance(value, list) else tuple(changed)
    return change(value)


def parts(value: Any, kinds: Any) -> Iterator[Any]:
    """The parts of a kind, or of several, in a value."""
    if isinstance(value, kinds):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from parts(part, kinds)
