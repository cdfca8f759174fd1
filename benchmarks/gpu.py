"""Everything that wants a GPU, in ten minutes: tests, compute-sanitizer, times of the operations and of explanations.

python -m benchmarks.gpu    writes benchmarks/results/<gpu>.json and <gpu>.md; without a GPU says so and writes nothing
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from calig_fast._utils import files

FOLDER = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parent.parent
# of the suite, what takes a device: each operation on each backend against its float64 reference; explanations of every
# family, method and dtype; waves that wait for nothing; recorded sweeps
TESTS = (
    "tests/ops/test_values.py",
    "tests/test_gpu.py",
    "tests/engines/native/test_path_batch.py",
    "tests/engines/native/test_cuda_graphs.py",
)
SANITIZED = ("tests/ops/test_values.py", "-k", "large_problem and cuda")  # every CUDA kernel, on ragged segments
TOOLS = ("memcheck", "racecheck")
# seconds of each part, and in them the start of Python; together less than ten minutes
LIMITS = {"tests": 260, "sanitizer": 60, "operations": 120, "explanations": 80}


def tests() -> str:
    """The summary of the tests that use the GPU."""
    return _last_line([sys.executable, "-m", "pytest", "-q", "-x", *TESTS], LIMITS["tests"])


def sanitizer() -> dict[str, str]:
    """Return the reports of compute-sanitizer's tools on the CUDA kernels, where it is installed."""
    if shutil.which("compute-sanitizer") is None:
        return dict.fromkeys(TOOLS, "compute-sanitizer is not installed")
    suite = [sys.executable, "-m", "pytest", "-q", *SANITIZED]
    return {
        tool: _last_line(["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", *suite], LIMITS["sanitizer"])
        for tool in TOOLS
    }


def _last_line(command: list[str], seconds: int) -> str:
    """Return the last line of a program's output; its failure ends this program."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=seconds)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(command)}: not done in {seconds} s")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def page(results: dict[str, Any]) -> str:
    """The tables."""
    from calig_fast.bench.markdown import table

    about, left_out = results["machine"], results["left_out"]
    head = ("operation", "dtype", "layout", "backend", "median, µs", "p20", "p80", "GB/s", "of peak")
    operations = [
        [
            *(r[k] for k in ("op", "dtype", "layout", "backend")),
            *(f"{r[k]:.1f}" for k in ("median", "p20", "p80", "rate")),
            f"{100 * r['share']:.0f} %" if r["share"] else "",
        ]
        for r in results["operations"]
    ]
    explanations = [
        [r["work"], r["who"], r["dtype"], *(f"{r[k]:.1f}" for k in ("median", "p20", "p80")), f"{r['error']:.1e}"]
        for r in results["explanations"]
    ]
    said = "; ".join(f"{tool}: {line}" for tool, line in results["sanitizer"].items())
    return "\n".join(
        [
            f"# {about['gpu']}\n",
            f"{about['date']}, torch {about['torch']}. Tests ({', '.join(results['test_files'])}): {results['tests']}. "
            f"Sanitizer: {said}.\n\nTimes by CUDA events; the L2 cache is flushed before each repetition of an "
            "operation. *Of peak*: the least time, of the larger of bytes / bandwidth and products / peak, over the "
            "median. *Error*: of the layer relevance, the worst layer and input, against a converged reference.\n",
            table(head, operations),
            table(("work", "who", "dtype", "median, ms", "p20", "p80", "error"), explanations),
            f"Left out for want of time: {left_out['operations']} operations, {left_out['explanations']} contenders.\n",
        ]
    )


def measured() -> dict[str, Any]:
    """All of it.

    Raises:
        RedGateError: an answer is wrong.
    """
    from benchmarks import gpu_times
    from calig_fast.bench import machine

    found = {"machine": machine.describe(), "test_files": TESTS, "tests": tests(), "sanitizer": sanitizer()}
    operations, some = gpu_times.operations(found["machine"]["gpu"], time.monotonic() + LIMITS["operations"])
    explanations, others = gpu_times.explanations(time.monotonic() + LIMITS["explanations"])
    left_out = {"operations": some, "explanations": others}
    return {**found, "operations": operations, "explanations": explanations, "left_out": left_out}


def main() -> None:
    """Run all of it and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the GPU")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU that torch can use: nothing was run, nothing written")
        return
    from benchmarks.truth import RedGateError

    try:
        results = measured()
    except RedGateError as error:
        sys.exit(str(error))
    name = re.sub(r"[^a-z0-9]+", "-", results["machine"]["gpu"].lower()).strip("-")
    path = options.out or FOLDER / f"{name}.json"
    files.write(path, json.dumps(results, indent=1) + "\n")
    files.write(path.with_suffix(".md"), page(results))
    print(f"wrote {path} and {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
