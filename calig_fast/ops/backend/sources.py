"""The sources of the compiled module; setup.py runs this file without the package, which would import PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path


def checkout(root: Path) -> bool:
    """Return True if the package lies beside its C++ sources, and is built in place."""
    return (root / "CMakeLists.txt").is_file() and (root / "csrc" / "module.cpp").is_file()


def digest(root: Path) -> str:
    """A hash of 16 hexadecimal digits of the C++ sources in a folder and of their build file.

    Headers named *_flat.h are left out: only the emulator of the CUDA kernels compiles them, the module does not.
    """
    sha256 = hashlib.sha256()
    sources = (p for p in (root / "csrc").rglob("*.*") if p.is_file() and not p.name.endswith("_flat.h"))
    for path in (root / "CMakeLists.txt", *sorted(sources)):
        sha256.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha256.hexdigest()[:16]
