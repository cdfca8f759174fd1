"""Compiles the CUDA kernels for the host, plainly and with sanitizers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMULATION = ROOT / "tools" / "cuda_emulator"
KERNELS = sorted((ROOT / "csrc").glob("*/*_cuda.cu"))
FLAT = [path for path in sorted((ROOT / "csrc").glob("*/*_flat.h")) if path.parent.name != "common"]
ENTRY = ROOT / "tools/kernel_checks/emulated.cpp"
PLANTED = EMULATION / "tests" / "planted.cu"

# Of a kind of build: what the kernels are compiled with, and what tells the scheduler, which is never instrumented.
SANITIZERS = {
    "plain": ([], []),
    "address": (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-DEMULATION_ASAN"]),
    "thread": (["-fsanitize=thread"], ["-DEMULATION_TSAN"]),
}
COMMON = ["-std=c++20", "-g1", "-O1", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"]


def compiler() -> str | None:
    """The C++ compiler, or None; sanitizers of other compilers than GCC and Clang are unknown here."""
    words = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return shutil.which(words[0])


def _compile(source: Path, target: Path, flags: list[str]) -> Path:
    """Compile one file, unless its object is newer than every source."""
    checks = [*(ROOT / "tools" / "kernel_checks").glob("*.[ch]*"), *(ROOT / "tools/kernel_checks/include").rglob("*")]
    sources = [*(ROOT / "csrc").rglob("*"), *EMULATION.rglob("*"), *checks]
    if not target.exists() or target.stat().st_mtime < max(p.stat().st_mtime for p in sources if p.is_file()):
        target.parent.mkdir(parents=True, exist_ok=True)
        include = f"-I{EMULATION / 'include'}"
        _run([compiler(), *COMMON, include, *flags, "-x", "c++", "-c", str(source), "-o", str(target)])
    return target


def _run(command: list[str | None]) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr}")


def machinery(kind: str, folder: Path) -> list[Path]:
    """The emulator's own objects."""
    return [
        _compile(source, folder / kind / f"{source.stem}.o", ["-O2", f"-I{EMULATION / 'src'}", *SANITIZERS[kind][1]])
        for source in sorted((EMULATION / "src").glob("*.cpp"))
    ]


def instrumented(sources: list[Path], kind: str, folder: Path, flags: list[str]) -> list[Path]:
    """Objects of kernel sources and of what calls them."""
    return [_compile(s, folder / kind / f"{s.stem}.o", [*SANITIZERS[kind][0], *flags]) for s in sources]


def _launchers(folder: Path) -> Path:
    """The header that emulated.cpp includes: <op>_flat.h of every operation, and its entry of the table."""
    entries = (f'{{"{path.parent.name}", calig_fast::{path.parent.name}_flat}}' for path in FLAT)
    lines = [
        "// Written by tools/kernel_checks/build.py.",
        *(f'#include "{path}"' for path in FLAT),
        f"#define CALIG_LAUNCHERS {', '.join(entries)}",
        "",
    ]
    header, text = folder / "launchers" / "launchers.h", "\n".join(lines)
    if not header.exists() or header.read_text() != text:
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(text)
    return header


def _entry(kind: str, folder: Path, name: str, flags: list[str]) -> Path:
    """The object of emulated.cpp, through which the launchers are called."""
    header = _launchers(folder)
    target = folder / name / kind / f"{ENTRY.stem}.o"
    if target.exists() and target.stat().st_mtime < header.stat().st_mtime:
        target.unlink()
    return _compile(ENTRY, target, [*SANITIZERS[kind][0], f"-I{header.parent}", *flags])


def library(folder: Path) -> Path:
    """A shared library of the operations' launchers, for Python."""
    objects = [
        *machinery("plain", folder),
        *instrumented(KERNELS, "plain", folder, []),
        _entry("plain", folder, "library", []),
    ]
    target = folder / "plain" / "libemulated.so"
    _run([compiler(), "-shared", *map(str, objects), "-o", str(target)])
    return target


def glue(folder: Path, torch: Path) -> Path:
    """A library that registers the operations for CUDA with PyTorch as csrc/ does, but under another key.

    Args:
        folder: where objects go.
        torch: folder of the torch package.
    """
    ours, theirs = ROOT / "tools/kernel_checks/include", torch / "include"
    flags = [f"-I{ours}", "-isystem", str(theirs), "-include", str(ours / "apart.h"), "-DCALIG_WITH_CUDA"]
    registering = [k.with_name(k.name.replace("_cuda.cu", "_torch.cpp")) for k in KERNELS]
    sources = [*(source for source in registering if source.exists()), ROOT / "csrc/common/segments.cpp"]
    objects = [
        *machinery("plain", folder),
        *instrumented(KERNELS, "plain", folder, []),
        # the CPU's part is not registered
        *instrumented(sources, "plain", folder / "glue", [*flags, "-Wno-unused-function"]),
    ]
    target = folder / "plain" / "libglue.so"
    libraries = [f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu"]
    _run([compiler(), "-shared", *map(str, objects), *libraries, "-o", str(target)])
    return target


def program(kind: str, folder: Path) -> Path:
    """A program that runs the problems of a file, with the sanitizers of `kind`."""
    entry = _entry(kind, folder, "program", ["-DCALIG_STANDALONE"])
    objects = [*machinery(kind, folder), *instrumented(KERNELS, kind, folder, []), entry]
    target = folder / kind / "emulated"
    _run([compiler(), *SANITIZERS[kind][0], *map(str, objects), "-o", str(target)])
    return target


def planted(kind: str, folder: Path) -> Path:
    """The program of the planted bugs."""
    objects = [*machinery(kind, folder), *instrumented([PLANTED], kind, folder, [])]
    target = folder / kind / "planted"
    _run([compiler(), *SANITIZERS[kind][0], *map(str, objects), "-o", str(target)])
    return target


def tile_product(kind: str, folder: Path) -> Path:
    """The program that compares the twins of attention_gradient's products."""
    objects = [
        *machinery(kind, folder),
        *instrumented([ROOT / "tools/kernel_checks/tile_product.cpp"], kind, folder, []),
    ]
    target = folder / kind / "tile_product"
    _run([compiler(), *SANITIZERS[kind][0], *map(str, objects), "-o", str(target)])
    return target
