"""One part of a run on a GPU, in this process; each result is one JSON line, written at once."""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import explanations, operations, rows
from .rows import BACKENDS, DTYPES, Step

PARTS: dict[str, Callable[[argparse.Namespace], list[Step]]] = {
    "ceilings": operations.ceilings,
    "values": operations.values,
    "explain_values": explanations.values,
    "warm": explanations.warm,
    "explain": explanations.explanations,
    "ops": operations.times,
    "trace": explanations.trace,
    "sanitized": operations.sanitized,
    "kernels": operations.kernels,
}


def main() -> None:
    """Run the part that the command line names."""
    environment = os.environ.get
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=[*PARTS, "smoke"], required=True)
    parser.add_argument("--out", type=Path, required=True, help="file of the lines")
    parser.add_argument("--began", type=float, default=float(environment("BEGAN", time.time())), help="of the clock")
    parser.add_argument("--until", type=float, default=float(environment("LIMIT", 90)) - 10, help="seconds from then")
    parser.add_argument("--only", default="", help="the steps of the part, see its function")
    parser.add_argument("--to", default="trace.json.gz", help="file of the trace")
    parser.add_argument("--start", type=int, default=0, help="the first step")
    options = parser.parse_args()
    rows.begin(options)
    if options.part == "smoke":
        smoke(options)
    else:
        rows.take(PARTS[options.part](options), options)
    faulthandler.cancel_dump_traceback_later()


def smoke(options: argparse.Namespace) -> None:
    """All values at once, a process for each operation and backend: one that breaks its GPU breaks no other.

    Beside them models are explained with the kernels of `explain`: Triton compiles them now, for later.
    """
    from calig_fast import ops

    jobs = [("values", f"{op} {b}") for op, o in ops.dispatch._operations.items() for b in BACKENDS if b in o.files]
    jobs += [("explain_values", ""), *(("warm", dtype) for dtype in DTYPES)]
    at_work: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
    clock = ["--began", str(options.began), "--until", str(options.until - 8)]
    while jobs or at_work:
        late = rows.left(options) < 0
        while jobs and (late or len(at_work) < (os.cpu_count() or 1)):
            part, only = jobs.pop(0)
            if late:
                rows.write(options, f"{part} {only}", {"left_out": True})
                continue
            command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--only", only, "--out"]
            at_work[part, only] = subprocess.Popen([*command, str(options.out), *clock])
        for (part, only), process in list(at_work.items()):
            if process.poll() is not None or late:
                process.kill()
                if code := process.wait():
                    said = "killed at the limit" if late else f"ended with {code}"
                    rows.write(options, f"{part} {only}", {"fault": said})
                del at_work[part, only]
        time.sleep(0.1)
