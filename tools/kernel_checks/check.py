"""All checks of the GPU kernels that need no GPU, and their conditions.

python -m tools.kernel_checks.check            writes docs/kernels.md and tools/kernel_checks/results.json
python -m tools.kernel_checks.check --check    writes nothing
Either ends with 1 where a gate of tools/kernel_checks/gates.py fails that is not allowed there.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from calig_fast.bench import record
from tools.kernel_checks import build, compile, emulate, gates, kernels_page, problems, traffic

ROOT = Path(__file__).resolve().parents[2]
PAGE, DATA = ROOT / "docs" / "kernels.md", ROOT / "tools" / "kernel_checks" / "results.json"
TESTS = ("tests/ops/test_values.py", "tests/ops/test_triton.py")


def versions() -> dict[str, str]:
    """The versions of the compilers and libraries, and today's date."""
    environment = {"date": datetime.date.today().isoformat(), "torch": str(torch.__version__)}
    if importlib.util.find_spec("triton") is not None:
        import triton

        environment["triton"] = str(triton.__version__)
    for name, pattern in (("nvcc", r"release ([\d.]+)"), (build.compiler() or "", r"(\d+\.\d+\.\d+)")):
        if name and shutil.which(name):
            said = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            words = re.search(pattern, said)
            environment[Path(name).name] = words[1] if words else "unknown"
    return environment


def attempt(run: Callable[[], Any]) -> dict[str, Any]:
    """Return the result of `run`, and its error."""
    try:
        return {"found": run(), "failed": ""}
    except (AssertionError, RuntimeError) as error:
        return {"found": None, "failed": str(error)[:400]}


def interpreter() -> dict[str, Any]:
    """The Triton kernels' values, in the interpreter: the tests of that backend, in a process of their own."""
    options = ["-q", "-p", "no:cacheprovider", "-k", "triton"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *TESTS],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    lines = done.stdout.strip().splitlines()
    passed = re.search(r"(\d+) passed", lines[-1] if lines else "")
    return {"tests": {"found": int(passed[1]) if passed else 0, "failed": "" if done.returncode == 0 else lines[-1]}}


def emulated(folder: Path) -> dict[str, Any]:
    """The checks of the CUDA kernels under the emulator: values, sanitizers, planted bugs, traffic."""
    library = emulate.load(folder)
    checks: dict[str, Any] = {"values": {}, "sanitizers": {}, "planted": {}}
    for op in problems.OPERATIONS:
        checks["values"][op] = attempt(lambda op=op: emulate.values(library, op))
        say(f"{op}: values")
    for name in emulate.PLANTED:
        checks["planted"][name] = attempt(lambda name=name: emulate.planted(folder, name))
    say("planted bugs")
    checks["twins"] = {"tensor cores": attempt(lambda: emulate.twins(folder))}
    say("products on tensor cores")
    for kind in ("address", "thread"):
        checks["sanitizers"][kind] = attempt(lambda kind=kind: emulate.sanitize(folder, kind))
        say(f"{kind} sanitizer")
    checks["traffic"] = [asdict(t) for t in traffic.measure(library)]
    return checks


def collect(folder: Path) -> dict[str, Any]:
    """Run all checks that this machine's tools allow; skipped checks are reported and left out."""
    checks: dict[str, Any] = {"versions": versions()}
    if importlib.util.find_spec("triton") is None:
        say("Triton kernels: skipped, triton is not installed")
    else:
        from tools.kernel_checks import triton_compile

        checks["interpreter"] = interpreter()
        say("Triton kernels interpreted")
        checks["triton"] = [asdict(report) for report in triton_compile.reports()]
        say("Triton kernels compiled")
    if sys.platform != "linux" or build.compiler() is None:
        say("CUDA kernels under the emulator: skipped, it needs Linux and g++")
    else:
        checks |= emulated(folder)
    if shutil.which("nvcc") is None:
        say("CUDA kernels compiled: skipped, there is no nvcc")
    else:
        checks["cuda"] = [
            asdict(kernel)
            for source in build.KERNELS
            for arch in compile.ARCHITECTURES
            for kernel in compile.kernels(source, arch)
        ]
        say("CUDA kernels compiled")
    return checks


STARTED = time.monotonic()


def say(words: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - STARTED:5.0f} s  {words}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "emulation", help="folder for objects")
    options = parser.parse_args()
    results = json.loads(json.dumps(collect(options.build)))
    new, known = gates.failures(results)
    if not options.check:
        text = json.dumps(results, indent=None, separators=(",", ":"))
        record.write(DATA, text.replace("},{", "},\n{") + "\n")
        record.write(PAGE, kernels_page.page(results, known))
        say(f"wrote {PAGE.relative_to(ROOT)} and {DATA.relative_to(ROOT)}")
    say(f"{len(known)} known exceptions")
    for said in new:
        say(f"FAILED {said}")
    sys.exit(bool(new))


if __name__ == "__main__":
    main()
