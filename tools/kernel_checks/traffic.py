"""Memory traffic of the CUDA kernels at shapes that models have, over the least any kernel could do."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.kernel_checks import problems

SECTOR = 32


def counted(library: ctypes.CDLL) -> dict[str, int]:
    """Return the counts since `emulated_record`."""
    found = (ctypes.c_uint64 * 6)()
    library.emulated_traffic(found)
    names = ("requests", "bytes_read", "bytes_written", "sectors_read", "sectors_written", "conflicts")
    return dict(zip(names, found, strict=True))


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


def calls(dtype: torch.dtype) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Operation, shape in words, arguments: MiniLM's widths, few rows, as the emulator is slow."""
    torch.manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape).to(dtype)

    width, tokens, nodes, hidden = 384, 128, 8, 1536
    offsets, inputs, rows = torch.tensor([0, tokens]), torch.zeros(nodes, dtype=torch.int64), tokens * nodes
    ends = normal(tokens, width), normal(tokens, width)
    statistics = torch.randn(rows, 1).to(problems.wide(dtype)), torch.rand(rows, 1).to(problems.wide(dtype)) + 0.5
    found: list[tuple[str, str, tuple[Any, ...]]] = [
        ("interpolate_path", "T 128, D 384, S 8", (*ends, offsets, inputs, torch.rand(nodes))),
        (
            "accumulate_gradients",
            "T 128, D 384, S 8",
            ([normal(rows, width)], [ends[0]], offsets, inputs, torch.rand(nodes)),
        ),
        (
            "norm_backward",
            "R 1024, D 384",
            (normal(rows, width), normal(rows, width), *statistics, normal(width), normal(rows, width)),
        ),
        ("activation_backward", "R 128, I 1536", (normal(tokens, hidden), normal(tokens, hidden), "gelu")),
        (
            "activation_backward",
            "R 128, I 1536, gated",
            (normal(tokens, hidden), normal(tokens, 2 * hidden), "gelu", True),
        ),
    ]
    heads, size = 12, width // 12
    qkv = normal(tokens, 3, heads, size)
    lse = torch.zeros(heads, tokens, dtype=problems.wide(dtype))
    maps = normal(tokens, heads, size), qkv, lse, offsets, tokens, size**-0.5
    found.append(("attention_gradient", "T 128, H 12, E 32", maps))
    bias = torch.zeros(heads, tokens, tokens, dtype=problems.wide(dtype))
    found.append(("attention_gradient", "T 128, H 12, E 32, bias", (*maps, False, False, bias)))
    if dtype in problems.module("fuse_rollout", "spec").DTYPES:
        for n, said in ((tokens, ""), (256, ", too large to be held")):
            vectors = normal(n), normal(n**2), torch.tensor([0, n]), normal(n), normal(n)
            found.append(("fuse_rollout", f"T {n}{said}", (*vectors, 0.5)))
    return found


def measure(library: ctypes.CDLL, ops: Sequence[str] = problems.OPERATIONS) -> list[Traffic]:
    """Count every call of some operations."""
    found = []
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
            found.append(
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
    return found


def report(library: ctypes.CDLL, out: Path | None, ops: Sequence[str] = problems.OPERATIONS) -> None:
    """Print a table, and write it as JSON."""
    found = measure(library, ops)
    print("| operation | shape | dtype | least bytes | bytes / least | sectors / ideal |")
    print("|---|---|---|---|---|---|")
    for t in found:
        print(f"| {t.op} | {t.shape} | {t.dtype} | {t.least} | {t.over_least:.3f} | {t.over_ideal:.3f} |")
    if out:
        out.write_text(json.dumps([asdict(t) for t in found], indent=1) + "\n")
