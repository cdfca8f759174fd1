"""The compiled module: whether it can be loaded, and one warning where it cannot."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

WAY_OUT = "to get it, run in the source folder: pip install --no-deps --force-reinstall ."


@dataclass(frozen=True)
class Extension:
    """The compiled module, or why there is none.

    Args:
        module: `calig_fast._C`, or None.
        reason: why it is not loaded; '' where it is.
        built_for: the torch version it was built for; '' where there is no module.
    """

    module: ModuleType | None
    reason: str
    built_for: str = ""


def _built_for(path: Path) -> str:
    """The torch version written in the file: loading a module built for another one could crash the process."""
    found = re.search(rb"calig_fast built for torch ([^;\0]+);", path.read_bytes())
    return found[1].decode() if found else "unknown"


def _load() -> Extension:
    spec = importlib.util.find_spec("calig_fast._C")
    if spec is None or spec.origin is None:
        return Extension(None, "it was not built (pip install -v says why)")
    built, running = _built_for(Path(spec.origin)), str(torch.__version__)
    if built != running:
        return Extension(None, f"it was built for torch {built}, this is torch {running}", built)
    try:
        return Extension(importlib.import_module("calig_fast._C"), "", built)
    except ImportError as error:
        return Extension(None, f"it cannot be loaded: {error}", built)


@cache
def extension() -> Extension:
    """Load the compiled module, once a process; where that fails, warn once and go on without it."""
    found = _load()
    if found.module is None:
        warnings.warn(
            f"calig_fast runs without its compiled operations, slower, in plain PyTorch: {found.reason}; {WAY_OUT}",
            RuntimeWarning,
            stacklevel=2,
        )
    return found
