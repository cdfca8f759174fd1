"""Objects that installed packages offer under an entry point group."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from .warn import warn

T = TypeVar("T")


def load_entry_points(group: str, kind: type[T]) -> list[T]:
    """The objects of a group; one that cannot be loaded, or is of another type, is left out with a warning.

    Args:
        group: name of the entry point group, such as "calig_fast.methods".
        kind: type that every object has.
    """
    objects: list[T] = []
    for entry in entry_points(group=group):
        try:
            value = entry.load()
        except Exception as error:  # of another package: it must not break this one
            warn(f"entry point {group}: {entry.name} of {entry.value} cannot be loaded: {error!r}")
            continue
        if isinstance(value, kind):
            objects.append(value)
        else:
            warn(f"entry point {group}: {entry.name} is a {type(value).__name__}, expected a {kind.__name__}")
    return objects
