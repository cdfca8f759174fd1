"""Memory of this process and of the machine, and the bound of the code that oneDNN keeps."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

from .._utils import heap

EVERY = 0.002  # seconds between two looks at the memory
CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
# oneDNN keeps the code of 1,024 products, about 0.6 MiB each, and every new number of rows is a new product. In
# bfloat16 a MiniLM-L6 grew by 550 MiB over 64 short texts, with 64 by 270 (Zen 5).
PRODUCTS = 64
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def bound_code() -> None:
    """Let oneDNN keep the code of few products, unless the environment says how many; it reads this at its first."""
    os.environ.setdefault(CAPACITY, str(PRODUCTS))


def of_process() -> int:
    """Bytes that this process holds now and the system cannot take back; of the GPU where one is in use."""
    if torch.cuda.is_available() and torch.cuda.memory_allocated():
        return int(torch.cuda.memory_allocated())
    return heap.process_bytes()


def available() -> int | None:
    """Bytes that processes may still take, of the GPU where one is in use; None where the system does not say."""
    if torch.cuda.is_available() and torch.cuda.memory_allocated():
        return int(torch.cuda.mem_get_info()[0])
    free_bytes = []
    with contextlib.suppress(OSError, StopIteration):  # no Linux
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free_bytes.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    for most, used in CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            free_bytes.append(int(Path(most).read_text()) - int(Path(used).read_text()))
    return max(0, min(free_bytes)) if free_bytes else None


@contextlib.contextmanager
def above() -> Iterator[list[int]]:
    """The largest memory while the context is open, above that at its beginning, in bytes."""
    heap.give_back()  # memory that is free counts where it is used again
    before, peak, stop = of_process(), [0], threading.Event()

    def look() -> None:
        while not stop.wait(EVERY):
            peak[0] = max(peak[0], of_process() - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
