"""Loading of the compiled module, with one warning if it cannot be loaded."""

from __future__ import annotations

import importlib
import importlib.util
import mmap
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from . import sources

ROOT = Path(__file__).resolve().parents[3]
MARK = b"calig_fast built for torch "
MARKED = re.compile(re.escape(MARK) + rb"([^;\0]+) from ([^;\0]+);")


@dataclass(frozen=True)
class Extension:
    """The compiled module, or the reason why there is none.

    Args:
        module: `calig_fast._C`, or None.
        reason: why it is not loaded; '' where it is.
        built_for: the torch version it was built for; '' where there is no module.
    """

    module: ModuleType | None
    reason: str
    built_for: str = ""


def _built(path: Path) -> tuple[str, str] | None:
    """The torch version and the digest of the sources that a module was built for and from, None where it has none.

    Written in the file, since to load one that was built otherwise could crash the process.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        stamp = MARKED.match(content, max(content.find(MARK), 0))
        return (stamp[1].decode(), stamp[2].decode()) if stamp else None


def fits(built: str, running: str) -> bool:
    """A module for torch `built` runs with torch `running`; one without CUDA code names the release alone."""
    return built in {running, running.partition("+")[0]}


def _load() -> Extension:
    spec = importlib.util.find_spec("calig_fast._C")
    if spec is None or spec.origin is None:
        return Extension(None, "it was not built (pip install -v says why)")
    stamp, running = _built(Path(spec.origin)), str(torch.__version__)
    if stamp is None:
        return Extension(None, "it was built from another release of calig_fast")
    built, digest = stamp
    if not fits(built, running):
        return Extension(None, f"it was built for torch {built}, this is torch {running}", built)
    if sources.checkout(ROOT) and digest != sources.digest(ROOT):
        return Extension(None, f"it was built from other sources than those in {ROOT / 'csrc'}", built)
    try:
        return Extension(importlib.import_module("calig_fast._C"), "", built)
    except ImportError as error:
        return Extension(None, f"it cannot be loaded: {error}", built)


def _way_out() -> str:
    if sources.checkout(ROOT):
        return f"to get it, run in {ROOT}: make setup, or python setup.py build_ext --inplace"
    return "to get it, install that torch, or run in the source folder: pip install --no-deps --force-reinstall ."


@cache
def extension() -> Extension:
    """Load the compiled module, once a process; if that fails, warn once and continue without it."""
    loaded_extension = _load()
    if loaded_extension.module is None:
        warnings.warn(
            f"calig_fast runs without its compiled operations, slower, in plain PyTorch: {loaded_extension.reason}; "
            f"{_way_out()}",
            RuntimeWarning,
            stacklevel=2,
        )
    return loaded_extension
