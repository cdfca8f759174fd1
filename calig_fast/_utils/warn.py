"""Warnings that point at the caller's line, not at one of ours."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = str(Path(__file__).parents[1])


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside the package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


_SEEN: set[tuple[str, ...]] = set()


def warn_once(message: str) -> None:
    """Warn as `warn` does, at the first time in a process."""
    if (message,) not in _SEEN:
        _SEEN.add((message,))
        warn(message)


def renamed(argument: str, value: str, names: Mapping[str, str]) -> str:
    """The present name of an argument's value; an old one is replaced, with one warning (FutureWarning) a process.

    Args:
        argument: name of the argument, for the message.
        value: the caller's value.
        names: old names and the present ones.
    """
    new = names.get(value) if isinstance(value, str) else None
    if new is None:
        return value
    if (argument, value) not in _SEEN:
        _SEEN.add((argument, value))
        warn(f'{argument}: "{value}" is now called "{new}"; the old name will go in 0.2', FutureWarning)
    return new


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the function takes keyword `old` for `new` too, with one warning (FutureWarning) a process.

    Raises:
        TypeError: both are given.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{old}: it is the old name of {new}=, which is given too; leave {old} out")
                if (old, new) not in _SEEN:
                    _SEEN.add((old, new))
                    warn(f"{old}= is now called {new}=; the old name will go in 0.2", FutureWarning)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return run

    return decorate
