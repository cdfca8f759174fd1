"""Memory traffic of the CUDA kernels at shapes that models have, over the least any kernel could do."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tools.kernel_checks import problems

SECTOR = 32


def counted(library: ctypes.CDLL) -> dict[str, int]:
    """Return the counts since `emulated_record`."""
    counters = (ctypes.c_uint64 * 6)()
    library.emulated_traffic(counters)
    names = ("requests", "bytes_read", "bytes_written", "sectors_read", "sectors_written", "conflicts")
    return dict(zip(names, counters, strict=True))


@dataclass(frozen=True)
class Traffic:
    """The memory traffic of one call.

    Args:
        op, shape, dtype: the call.
        least: bytes of every input and output, once.
        bytes: bytes that the warps' requests asked for.
        sectors: sectors of 32 bytes that those requests touched; before any cache, so what is read again counts again.
        over_least: bytes over least.
        over_ideal: sectors over least / 32.
    """

    op: str
    shape: str
    dtype: str
    least: int
    bytes: int
    sectors: int
    over_least: float
    over_ideal: float


def calls(dtype: torch.dtype) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Operation, shape in words, arguments; of the operations that are defined for the dtype."""
    torch.manual_seed(0)
    for op in problems.OPERATIONS:
        if dtype in problems.module(op, "spec").DTYPES:
            for case in problems.module(op, "sizes").counted(dtype):
                yield op, case.name, case.args


def measure(library: ctypes.CDLL, ops: Sequence[str] = problems.OPERATIONS) -> list[Traffic]:
    """Count every call of some operations."""
    measurements = []
    for dtype in (torch.float32, torch.bfloat16):
        for op, shape, args in (call for call in calls(dtype) if call[0] in ops):
            problem = problems.problem(op, args)
            least = sum(b.numel() * b.element_size() for b in problem.buffers if b is not None)
            library.emulated_record(1)
            problem.run(library)
            seen = counted(library)
            library.emulated_record(0)
            moved = seen["bytes_read"] + seen["bytes_written"]
            sectors = seen["sectors_read"] + seen["sectors_written"]
            name = str(dtype).removeprefix("torch.")
            measurements.append(
                Traffic(
                    op,
                    shape,
                    name,
                    least=least,
                    bytes=moved,
                    sectors=sectors,
                    over_least=round(moved / least, 3),
                    over_ideal=round(sectors * SECTOR / least, 3),
                )
            )
    return measurements


def report(library: ctypes.CDLL, out: Path | None, ops: Sequence[str] = problems.OPERATIONS) -> None:
    """Print a table, and write it as JSON."""
    measurements = measure(library, ops)
    print("| operation | shape | dtype | least bytes | bytes / least | sectors / ideal |")
    print("|---|---|---|---|---|---|")
    for t in measurements:
        print(f"| {t.op} | {t.shape} | {t.dtype} | {t.least} | {t.over_least:.3f} | {t.over_ideal:.3f} |")
    if out:
        out.write_text(json.dumps([asdict(t) for t in measurements], indent=1) + "\n")
