"""Loading of the compiled operations, with one warning if they cannot be loaded."""

from __future__ import annotations

import ctypes
import json
import mmap
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from . import sources

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(__file__).resolve().parents[2]  # one library for each release of torch
RELEASE = re.compile(r"(\d+\.\d+)\.\d+(\+.*)?")
MARK = b"calig_fast built for torch "
MARKED = re.compile(re.escape(MARK) + rb"([^;\0]+) from ([^;\0]+);")


@dataclass(frozen=True)
class Library:
    """A compiled library that is loaded, its operations registered with torch.

    Args:
        path: the file.
        info: the record of its build.
    """

    path: Path
    info: Mapping[str, Any]

    def build_info(self) -> Mapping[str, Any]:
        """Return compiler, torch, CUDA, architectures and instruction sets of the build."""
        return self.info


@dataclass(frozen=True)
class Extension:
    """The compiled library, or the reason why there is none.

    Args:
        module: the library, or None.
        reason: why it is not loaded; '' where it is.
        built_for: the torch versions that the libraries here were built for; '' where there is none.
    """

    module: Library | None
    reason: str
    built_for: str = ""


@cache
def _open(path: Path) -> Library:
    """Load a library and its symbols at once; raises OSError."""
    build_info = ctypes.CDLL(str(path)).calig_fast_build_info
    build_info.restype = ctypes.c_char_p
    return Library(path, json.loads(build_info()))


def _built(path: Path) -> tuple[str, str] | None:
    """The torch version and the digest of the sources that a library was built for and from, None where it has none.

    Written in the file, since to load one that was built otherwise could crash the process.
    """
    if path.stat().st_size == 0:
        return None  # an installation on a full disk leaves such a file, and mmap refuses it
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        stamp = MARKED.match(content, max(content.find(MARK), 0))
        return (stamp[1].decode(), stamp[2].decode()) if stamp else None


def fits(built: str, running: str) -> bool:
    """A library for torch `built` runs with torch `running`.

    One with CUDA code names the whole version. One without names a release, and runs with every build of it and of its
    corrections: the third number changes no header that the library includes.
    """
    ours, theirs = RELEASE.fullmatch(built), RELEASE.fullmatch(running)
    if ours and theirs and not ours[2]:
        return ours[1] == theirs[1]
    return built == running


def _load() -> Extension:
    marks = {path: _built(path) for path in sorted(FOLDER.glob("_C.*.so")) if ".kernels." not in path.name}
    running = str(torch.__version__)
    if not marks:
        return Extension(None, "it was not built (pip install -v says why)")
    known = {path: mark for path, mark in marks.items() if mark}
    if not known:
        return Extension(None, "its file is damaged, or of another release of calig_fast")
    versions = ", ".join(built for built, _ in known.values())
    fitting = {path: digest for path, (built, digest) in known.items() if fits(built, running)}
    if not fitting:
        return Extension(None, f"it was built for torch {versions}, this is torch {running}", versions)
    if sources.checkout(ROOT):
        expected = sources.digest(ROOT)
        fitting = {path: digest for path, digest in fitting.items() if digest == expected}
    reason = f"it was built from other sources than those in {ROOT / 'csrc'}"
    for path in fitting:
        try:
            return Extension(_open(path), "", known[path][0])
        except OSError as error:
            reason = f"it cannot be loaded: {error}"
    return Extension(None, reason, versions)


def _way_out(built_for: str) -> str:
    if sources.checkout(ROOT):
        return f"to get it, run in {ROOT}: make setup, or python setup.py build_ext --inplace"
    build = (
        "build it where a C++17 compiler is: pip install --no-deps --force-reinstall SOURCE, the folder or the source "
        "archive (.tar.gz) of calig_fast"
    )
    return f"to get it, install torch {built_for}, or {build}" if built_for else f"to get it, {build}"


@cache
def extension() -> Extension:
    """Load the compiled module, once a process; if that fails, warn once and continue without it."""
    loaded_extension = _load()
    if loaded_extension.module is None:
        warnings.warn(
            f"calig_fast runs without its compiled operations, slower, in plain PyTorch: {loaded_extension.reason}; "
            f"{_way_out(loaded_extension.built_for)}",
            RuntimeWarning,
            stacklevel=2,
        )
    return loaded_extension
