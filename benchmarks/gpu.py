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
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parent.parent
SANITIZED = "tests/ops/test_ops_values.py::test_a_nan_of_a_row_stays_in_its_row"


def tests() -> str:
    """The summary of the tests that use the GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/ops/test_ops_values.py", "tests/test_gpu.py"]
    return _last_line(command, 300)


def sanitizer() -> str:
    """What compute-sanitizer says of the small cases, where it is installed."""
    if shutil.which("compute-sanitizer") is None:
        return "not installed"
    command = ["compute-sanitizer", "--error-exitcode", "1", sys.executable, "-m", "pytest", "-q", SANITIZED]
    return _last_line(command, 120)


def _last_line(command: list[str], seconds: int) -> str:
    """Of what a program says; its failure ends this program."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=seconds)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(command)}: not done in {seconds} s")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def page(results: dict[str, Any]) -> str:
    """The tables."""
    from proofs.kernels_page import table

    about = results["machine"]
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
        [r["work"], r["who"], r["dtype"], f"{r['median']:.1f}", f"{r['p20']:.1f}", f"{r['p80']:.1f}"]
        for r in results["explanations"]
    ]
    return "\n".join(
        [
            f"# {about['gpu']}\n",
            f"{about['date']}, torch {about['torch']}. Tests: {results['tests']}. compute-sanitizer: "
            f"{results['sanitizer']}.\n\nCUDA events; the cache is flushed before each repetition of an operation.\n",
            table(head, operations),
            table(("work", "who", "dtype", "median, ms", "p20", "p80"), explanations),
        ]
    )


def main() -> None:
    """Run all of it and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the GPU")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU that torch can use: nothing was run, nothing written")
        return
    from benchmarks import gpu_times
    from calig_fast.bench import machine

    results = {
        "machine": machine.describe(),
        "tests": tests(),
        "sanitizer": sanitizer(),
        "operations": gpu_times.operations(),
        "explanations": gpu_times.explanations(),
    }
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
    path = options.out or FOLDER / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(results))
    print(f"wrote {path} and {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
