"""The compiled C++ kernels of the CPU."""

from __future__ import annotations

from .base import Backend
from .extension import extension


def available() -> str | None:
    """The reason why the compiled module is missing, or None."""
    return f"the compiled module is not loaded: {extension().reason}" if extension().module is None else None


BACKEND = Backend("cpu", 10, available)
