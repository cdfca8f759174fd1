"""Runs the CUDA kernels without a GPU: values in three schedules, sanitizers, planted bugs, and memory traffic.

python -m tools.kernel_checks.emulate            everything, about six minutes of one core
python -m tools.kernel_checks.emulate values     sample cases against float64, forwards, backwards and at random
python -m tools.kernel_checks.emulate sanitize   the same cases under AddressSanitizer, UBSan and ThreadSanitizer
python -m tools.kernel_checks.emulate planted    kernels with a bug each, all of which must be found
python -m tools.kernel_checks.emulate twins      products by FMA and by the tensor cores' definition, which must agree
python -m tools.kernel_checks.emulate glue       the same cases through what registers the kernels with PyTorch
python -m tools.kernel_checks.emulate traffic --out FILE   bytes and sectors over the least, as a table and JSON
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from tools.kernel_checks import build, problems, traffic

SCHEDULES = ("forward", "reverse", "random")
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
}

WHAT = ("all", "values", "sanitize", "planted", "twins", "glue", "traffic")

# A kernel of tools/cuda_emulator/tests/planted.cu, the build that must refuse it, and a word of what it must say.
PLANTED = {
    "good": ("plain", None),
    "out_of_bounds": ("address", "heap-buffer-overflow"),
    "shared_out_of_bounds": ("address", "out of bounds"),
    "misaligned": ("address", "misaligned"),
    "missing_barrier": ("thread", "data race"),
    "missing_warp_barrier": ("thread", "data race"),
    "race_between_warps": ("thread", "data race"),
    "divergent_barrier": ("plain", "divergent barrier"),
    "barrier_after_exit": ("plain", "divergent barrier"),
    "divergent_shuffle": ("plain", "divergent barrier"),
    "lane_not_there": ("plain", "reads lane"),
    "race_between_blocks": ("plain", "conflict"),
}


def load(folder: Path) -> ctypes.CDLL:
    """Build and load the launchers."""
    library = ctypes.CDLL(str(build.library(folder)))
    library.emulated_schedule.argtypes = [ctypes.c_int, ctypes.c_uint64]
    return library


def values(library: ctypes.CDLL, op: str) -> int:
    """Every case of one operation, in every schedule: right, the same bits, no two blocks at odds.

    Returns:
        the number of cases.

    Raises:
        AssertionError: one is not.
    """
    count = 0
    for name, args in problems.cases(op):
        problem, answers = problems.problem(op, args), []
        for schedule in range(len(SCHEDULES)):
            library.emulated_schedule(schedule, count + 1)
            library.emulated_record(int(schedule == 0))
            answers.append(problem.run(library))
            assert traffic.counted(library)["conflicts"] == 0, f"{name}: blocks touch each other's memory"
        library.emulated_record(0)
        assert (reason := problems.refusal(op, args, answers[0])) is None, f"{name}: {reason}"
        for schedule, answer in zip(SCHEDULES[1:], answers[1:], strict=True):
            for a, b in zip(answers[0], answer, strict=True):
                same = torch.equal(a.view(-1).view(torch.uint8), b.view(-1).view(torch.uint8))
                assert same, f"{name}: other bits in the {schedule} schedule"
        count += 1
    return count


def sanitize(
    folder: Path, kind: str, schedules: Sequence[int] = (0, 1, 2), ops: Sequence[str] = problems.OPERATIONS
) -> None:
    """Every case of some operations in a program with the sanitizers of `kind`.

    Raises:
        AssertionError: they found something.
    """
    program, path = build.program(kind, folder), folder / "cases.bin"
    made = [problems.problem(op, args) for op in ops for _, args in problems.cases(op)]
    problems.save(path, made)
    for schedule in schedules:
        done = run([program, path, schedule])
        assert done.returncode == 0, f"{kind}, {SCHEDULES[schedule]}:\n{done.stderr[:4000]}"
        assert done.stdout == f"{len(made)} problems\n", done.stdout


def run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """A program, with the sanitizers' options set."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **OPTIONS})


def planted(folder: Path, name: str) -> None:
    """One kernel with a bug, which must be found, and one without, which must pass.

    Raises:
        AssertionError: it was not found, or something was found where nothing is.
    """
    kind, word = PLANTED[name]
    kinds = build.SANITIZERS if word is None else [kind]
    for build_kind in kinds:
        for schedule in range(len(SCHEDULES)):
            done = run([build.planted(build_kind, folder), name, schedule])
            where = f"{name}, {build_kind}, {SCHEDULES[schedule]}: exit {done.returncode}\n{done.stderr[:2000]}"
            assert (done.returncode == 0) == (word is None), where
            assert word is None or word in done.stderr, where


def twins(folder: Path) -> None:
    """The products of attention_gradient by FMA and by the manual's definition of tensor cores, in every schedule.

    Raises:
        AssertionError: they differ, or a sanitizer found something.
    """
    for kind in build.SANITIZERS:
        for schedule in range(len(SCHEDULES)):
            done = run([build.tile_product(kind, folder), schedule])
            assert done.returncode == 0, f"{kind}, {SCHEDULES[schedule]}:\n{done.stderr[:2000]}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=WHAT, default="all")
    parser.add_argument("--op", nargs="*", choices=problems.OPERATIONS, default=problems.OPERATIONS)
    parser.add_argument("--out", type=Path, help="JSON of the traffic")
    parser.add_argument("--build", type=Path, default=build.ROOT / "build" / "emulation", help="folder for objects")
    options = parser.parse_args()
    started = time.process_time(), time.monotonic()
    if options.what in ("all", "values"):
        library = load(options.build)
        for op in options.op:
            print(f"{op}: {values(library, op)} cases, three schedules, right and the same bits", flush=True)
    if options.what in ("all", "planted"):
        for name in PLANTED:
            planted(options.build, name)
            print(f"planted {name}: {'nothing found' if PLANTED[name][1] is None else 'found'}", flush=True)
    if options.what in ("all", "twins"):
        twins(options.build)
        print("twins: the same", flush=True)
    if options.what in ("all", "sanitize"):
        for kind in ("address", "thread"):
            sanitize(options.build, kind, ops=options.op)
            print(f"{kind}: nothing found", flush=True)
    if options.what in ("all", "glue"):
        from tools.kernel_checks import glue

        glue.load(options.build)
        for op in options.op:
            print(f"{op}, registered: {glue.values(op)} cases right", flush=True)
    if options.what in ("all", "traffic"):
        traffic.report(load(options.build), options.out, options.op)
    print(f"{time.monotonic() - started[1]:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
