"""Extra memory of a first call in a fresh process: Captum with all nodes in one batch, and ours.

    python -m benchmarks.memory [--threads 1] [--work NAME ...] [--out FILE]

Goes into the same results and page as `benchmarks.bench_explain`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import results
from benchmarks.contenders import STEPS, Tuning, prepare
from benchmarks.works import WORKS
from calig_fast._utils import heap
from calig_fast.bench import machine
from calig_fast.engines.native.engine import DEFAULT_BUDGET

MEASURED = ("minilm_128", "minilm_512", "vit_s14", "vit_s14_224")
REPEATS = 3  # processes: where the allocator places things differs from one to the next
CLEAR_PEAK = "5"  # what /proc/self/clear_refs takes to begin VmHWM anew


def extra(work: str, contender: str, tuning: Tuning, one: bool = False, **options: Any) -> int:
    """Bytes by which a fresh process grows at most while the contender makes its first run.

    Args:
        work: its name.
        contender: a key of `contenders.NAMES`.
        tuning: what was searched for.
        one: the first input alone.
        **options: of our own contenders.
    """
    arguments = json.dumps([work, contender, tuning.plain(), torch.get_num_threads(), one, options])
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks import memory; memory.child()", arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])


def child() -> None:
    """Print the extra memory of one contender; the argument is what `extra` makes."""
    name, contender, tuning, threads, one, options = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    work = WORKS[name]()
    if one:
        work = replace(work, calls=work.calls[:1], lows=work.lows[:1], targets=[], truths=(0,))
    ready = prepare(contender, work, Tuning(**tuning), warm=False, **options)
    with torch.no_grad():
        work.model(**work.calls[0])
    peak = Peak()
    ready.run()
    print(peak.extra())


class Peak:
    """Watches how far the process grows from here on.

    The kernel's own high-water mark where it may be begun anew, else a look every millisecond.
    """

    def __init__(self) -> None:
        heap.give_back()
        self._before = status("VmRSS")
        self._most = self._before
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None
        try:
            Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
        except OSError:
            self._watch = threading.Thread(target=self._look, daemon=True)
            self._watch.start()

    def _look(self) -> None:
        while not self._stop.wait(0.001):
            self._most = max(self._most, status("VmRSS"))

    def extra(self) -> int:
        """Stop watching; the bytes."""
        if self._watch is None:
            return status("VmHWM") - self._before
        self._stop.set()
        self._watch.join()
        return self._most - self._before


def status(name: str) -> int:
    """One line of /proc/self/status in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def measure(name: str) -> dict[str, Any]:
    """The rows of one work.

    The fixed part of a call, at any budget, is the memory of the endpoints alone.
    """

    def several(contender: str, **options: Any) -> list[int]:
        return sorted(extra(name, contender, Tuning(None), one=True, **options) for _ in range(REPEATS))

    fixed = several("ends")
    captum = {"contender": f"(a) Captum, all {STEPS} nodes in one batch", "budget": None}
    rows = [{**captum, "extra_bytes": several("captum")}]
    row = {"contender": f"ours, batches of {DEFAULT_BUDGET // 2**20} MiB, the default", "budget": DEFAULT_BUDGET}
    rows.append({**row, "extra_bytes": several("native")})
    return {"machine": machine.describe(), "fixed_bytes": median(fixed), "rows": rows}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", nargs="+", choices=MEASURED, default=list(MEASURED))
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the machine")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.work:
        figures = measure(name)
        for row in figures["rows"]:
            print(
                f"{name}: {row['contender']}: {median(row['extra_bytes']) / 2**20:.1f} MiB", file=sys.stderr, flush=True
            )
        results.add(args.out, "memory", {name: figures})


if __name__ == "__main__":
    main()
