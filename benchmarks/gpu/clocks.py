"""Times on a GPU: by the clock, back to back, and by events from a cold L2 cache; on a CPU all of them by the clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import cache
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .rows import DEVICE, REHEARSAL, Row, sync

FLUSH_BYTES = 64 if REHEARSAL else 512 * 2**20  # more than the L2 cache of any GPU


def there(x: Any, device: str = DEVICE) -> Any:
    """The same with its tensors on the device."""
    return tree_map_only(Tensor, lambda t: t.to(device), x)


def wall(run: Callable[[], Any], seconds: float = 1.0, least: int = 3, most: int = 20) -> Row:
    """Milliseconds of a call, with the work that it left to the GPU."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - began < seconds):
        sync()
        start = time.perf_counter()
        run()
        sync()
        times.append(1e3 * (time.perf_counter() - start))
    return {"ms": median(times), "min": min(times), "max": max(times), "repeats": len(times)}


def back_to_back(run: Callable[[], Any], calls: int = 30) -> float:
    """Microseconds a call, without waits between calls: of the host and the GPU, the slower one."""
    sync()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    sync()
    return 1e6 * (time.perf_counter() - start) / calls


def cold(run: Callable[[], Any], repeats: int = 20) -> float:
    """Median microseconds between two events about a call, with none of its inputs in the L2 cache."""
    times = []
    for _ in range(repeats):
        _flush().zero_()
        if REHEARSAL:
            times.append(back_to_back(run, 1))
            continue
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(1e3 * start.elapsed_time(stop))
    return median(times)


@cache
def _flush() -> Tensor:
    return torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=DEVICE)


def recorded(run: Callable[[], Any]) -> Callable[[], Any]:
    """The replay of a call as a CUDA graph; on a CPU the call itself."""
    if REHEARSAL:
        return run
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            run()
    finally:
        torch.cuda.set_stream(stream)
    return graph.replay


@contextlib.contextmanager
def allowing(tf32: bool) -> Iterator[None]:
    """Products of float32 with factors of ten bits, on the tensor cores, or exact."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
