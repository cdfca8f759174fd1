"""Time, memory, operator calls and floating-point operations of a call."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.contenders import Answer, Tuning, prepare
from benchmarks.works import WORKS

_aten = torch.ops.aten
# fused attention of the CPU: matrix products a head (the way back computes the map again), and which argument is q
ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu: (2, 0),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: (5, 1),
}


def timed(run: Callable[[], Answer]) -> tuple[Answer, float, float]:
    """The answer, CPU seconds of the process and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = run()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def operator_calls(run: Callable[[], Any]) -> int:
    """Calls of `aten::` operators, those made inside others counted too."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
    return sum(event.count for event in profiler.key_averages() if event.key.startswith("aten::"))


def matrix_flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and fused attention, by PyTorch's own formulas."""
    with FlopCount() as counter:
        run()
    return counter.total


class FlopCount(TorchDispatchMode):
    """Adds up the operators below the modules, `torch.utils.flop_counter` without its module tree.

    The tree follows each module's autograd graph, which an engine that enters a model halfway does not have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in ATTENTION:
            products, at = ATTENTION[packet]
            n, heads, asking, dim = args[at].shape
            self.total += products * 2 * n * heads * asking * args[at + 1].shape[2] * dim
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **kwargs, out_val=out)
        return out


def product_peak() -> float:
    """FLOP per CPU second of the best float32 product of two square matrices, 768 to 2048 rows."""
    best = 0.0
    for side in (768, 1024, 1536, 2048):
        a, b = torch.rand(2, side, side)
        out = torch.empty(side, side)
        for _ in range(6):
            started = time.process_time()
            torch.mm(a, b, out=out)
            best = max(best, 2 * side**3 / (time.process_time() - started))
    return best


def extra_memory(work: str, contender: str, tuning: Tuning) -> int:
    """Bytes by which a fresh process grows at most while the contender makes its first call."""
    arguments = json.dumps([work, contender, tuning.plain(), torch.get_num_threads()])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])


def resident() -> int:
    """Bytes of this process in memory."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


class Sampler(threading.Thread):
    """Watches `resident` every five milliseconds; `peak` is the most it saw."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = resident()
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Watch until `finish` is called."""
        while not self._stop_asked.wait(0.005):
            self.peak = max(self.peak, resident())

    def finish(self) -> int:
        """Stop; the peak."""
        self._stop_asked.set()
        self.join()
        return max(self.peak, resident())


def main() -> None:
    """Print the extra memory of one contender; the argument is what `extra_memory` makes."""
    name, contender, tuning, threads = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    work = WORKS[name]()
    run = prepare(contender, work, Tuning(**tuning), warm=False)
    with torch.no_grad():
        work.model(**work.calls[0])
    before = resident()
    sampler = Sampler()
    sampler.start()
    run()
    print(sampler.finish() - before)


if __name__ == "__main__":
    main()
