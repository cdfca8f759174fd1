"""The backends: one file each in this folder, backends registered by the program, and entry points."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from ..._utils.entry_points import load_entry_points
from .base import Backend

ENTRY_POINTS = "calig_fast.backends"
_registered: dict[str, Backend] = {}


@cache
def _shipped() -> dict[str, Backend]:
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {m.BACKEND.name: m.BACKEND for m in modules if hasattr(m, "BACKEND")}


@cache
def _installed() -> dict[str, Backend]:
    return {backend.name: backend for backend in load_entry_points(ENTRY_POINTS, Backend)}


@cache
def known() -> dict[str, Backend]:
    """Every backend by name, from the highest priority down."""
    every = {**_shipped(), **_installed(), **_registered}
    return dict(sorted(every.items(), key=lambda item: -item[1].priority))


def register_backend(backend: Backend) -> Backend:
    """Make a backend known to the operations, for `backend=` and, by its priority, for "auto".

    Raises:
        TypeError: something else than a Backend.
        ValueError: a backend of the package has this name.
    """
    if not isinstance(backend, Backend):
        raise TypeError(f"backend: expected a Backend, got {type(backend).__name__}")
    if backend.name in _shipped():
        raise ValueError(f'backend: "{backend.name}" is a backend of calig_fast; choose another name')
    _registered[backend.name] = backend
    known.cache_clear()
    return backend
