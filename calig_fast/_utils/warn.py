"""Warnings that point at the caller's line, not at one of ours."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside the package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


_SEEN: set[tuple[str, str]] = set()


def renamed(argument: str, value: str, names: Mapping[str, str]) -> str:
    """The present name of an argument's value; an old one is replaced, with one warning (FutureWarning) a process.

    Args:
        argument: name of the argument, for the message.
        value: what the caller gave.
        names: old names and the present ones.
    """
    new = names.get(value) if isinstance(value, str) else None
    if new is None:
        return value
    if (argument, value) not in _SEEN:
        _SEEN.add((argument, value))
        warn(f'{argument}: "{value}" is now called "{new}"; the old name will go in 0.2', FutureWarning)
    return new
