"""docs/kernels.md, from the results of the tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calig_fast.bench.markdown import table
from tools.kernel_checks import gates
from tools.kernel_checks.occupancy import KINDS, occupancy

INTRODUCTION = """# The GPU kernels, without a GPU

**None of these kernels has run on a GPU.** Four tools test them without a GPU. The Triton kernels run in Triton's
interpreter. The CUDA kernels run thread by thread on the processor, under the emulator of `tools/cuda_emulator/`, which
also counts their memory accesses. Sanitizers check them there. The compilers generate machine code for real GPUs, which
is analysed. These tests show the correctness, the memory traffic and the resources of a kernel, but not its time.

Written by `make kernels`. It fails if a kernel spills, loses a vector load or a tensor-core instruction, or exceeds the
allowed bytes. It also fails if a planted bug is not found (`tools/kernel_checks/gates.py`). All numbers:
`tools/kernel_checks/results.json`.
"""
HOW = """A *spill* is a number moved to local memory, which is in DRAM, because the registers ran out; *stack* is
local memory for any reason. *128-bit* counts the widest global accesses among all, loads / stores (Triton), or the
kernels that have any (CUDA). *Occupancy* is the share of a multiprocessor's warps that fit at once, computed from
threads, registers and shared memory. The limits are: {limits}. Occupancy bounds only the warps that can hide latency.
"""
WARPS = {"sm_80": 32, "sm_90": 32, "sm_100": 32, "gfx942": 64}


def span(values: Sequence[float], percent: bool = False) -> str:
    """Smallest to largest."""
    low, high = (f"{100 * v:.0f}" if percent else str(v) for v in (min(values), max(values)))
    return (low if low == high else f"{low}-{high}") + (" %" if percent else "")


def grouped(rows: list[dict[str, Any]], *keys: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Rows with the same values of some keys, in their order."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _triton(reports: list[dict[str, Any]]) -> str:
    rows = []
    for (op, dtype, arch), group in grouped(reports, "op", "dtype", "arch").items():
        share = [occupancy(arch, r["warps"] * WARPS[arch], r["registers"], r["shared"]) for r in group]
        wide = (f"{sum(r[k][0] for r in group)} of {sum(r[k][1] for r in group)}" for k in ("loads", "stores"))
        numbers = [span([r[k] for r in group]) for k in ("registers", "spills", "stack", "shared")]
        tensor = span([r["tensor"] for r in group]) if gates.required(op, "TENSOR_CORES", False) else ""
        rows.append([op, dtype, arch, len(group), *numbers, span(share, True), " / ".join(wide), tensor])
    head = ("operation", "dtype", "for", "variants", "registers", "spills", "stack", "shared bytes", "occupancy")
    return table((*head, "128-bit loads / stores", "tensor-core instructions"), rows)


def _cuda(kernels: list[dict[str, Any]]) -> str:
    rows = []
    for (op, arch), group in grouped(kernels, "op", "architecture").items():
        share = [occupancy(arch, k["threads"], k["registers"], k["shared"]) for k in group]
        numbers = [span([k[name] for k in group]) for name in ("threads", "registers", "spills", "stack", "shared")]
        counts = (sum(bool(k[name]) for k in group) for name in ("wide_accesses", "tensor_products"))
        rows.append([op, arch, len(group), *numbers, span(share, True), *counts])
    head = ("folder of csrc", "for", "kernels", "threads", "registers", "bytes spilled", "stack", "shared bytes")
    return table((*head, "occupancy", "with 128-bit accesses", "with tensor cores"), rows)


def _emulated(results: dict[str, Any]) -> str:
    said = {kind: "nothing found" if not r["failed"] else "FAILED" for kind, r in results["sanitizers"].items()}
    rows = [
        [op, r["found"] if not r["failed"] else "FAILED", "forward, reverse, random", said["address"], said["thread"]]
        for op, r in results["values"].items()
    ]
    head = (
        "operation",
        "cases right, with the same bits",
        "in schedules",
        "AddressSanitizer, UBSan",
        "ThreadSanitizer",
    )
    return table(head, rows)


def _planted(results: dict[str, Any]) -> str:
    from tools.kernel_checks.emulate import PLANTED

    rows = []
    for name, r in results["planted"].items():
        kind, word = PLANTED[name]
        wanted = "nothing, there is none" if word is None else f"{kind}: {word}"
        rows.append([name.replace("_", " "), wanted, "NO" if r["failed"] else "yes"])
    return table(("bug", "expected report", "found in all three schedules"), rows)


def _traffic(found: list[dict[str, Any]]) -> str:
    rows = [
        [t["op"], t["shape"], t["dtype"], t["least"], f"{t['over_least']:.3f}", f"{t['over_ideal']:.3f}"] for t in found
    ]
    return table(("operation", "shape", "dtype", "least bytes", "bytes / least", "sectors / least"), rows)


def page(results: dict[str, Any], known: dict[str, str]) -> str:
    """The whole page.

    Args:
        results: as `tools.kernel_checks.check.collect` makes them.
        known: failures that are allowed, and why.
    """
    limits = "; ".join(
        f"{arch} {k.warps} warps, {k.registers} registers in {k.unit}s a warp, {k.shared} bytes"
        for arch, k in KINDS.items()
    )
    parts = [INTRODUCTION, ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".\n"]
    if "triton" in results:
        passed = results["interpreter"]["tests"]["found"]
        said = f"In the interpreter {passed} tests pass, with inputs of 1 to 4,096 tokens. Compiled:\n"
        parts += ["## Triton\n", said, HOW.format(limits=limits)]
        parts += [
            "Products of float32 are made to its full precision, without tensor cores.\n",
            _triton(results["triton"]),
        ]
    if "cuda" in results:
        parts += ["## CUDA, compiled\n", "Shared memory that a launch adds is not counted.\n", _cuda(results["cuda"])]
    if "values" in results:
        parts += ["## CUDA, under the emulator\n", _emulated(results)]
        parts += ["An input of 4,096 tokens is left to tests/tools/test_cuda_emulator.py, in the first schedule.\n"]
        same = "the same" if not results["twins"]["tensor cores"]["failed"] else "FAILED"
        parts += [f"attention_gradient's products by FMA and by the definition of a tensor core: {same}.\n"]
        parts += ["Planted bugs, which the tools must find:\n", _planted(results)]
        least = "*Least* is every input and output once; a sector is 32 bytes; no access is served by a cache.\n"
        parts += ["## Memory traffic\n", least, _traffic(results["traffic"])]
    if known:
        parts += ["## Known exceptions\n", table(("exception", "reason"), known.items())]
    return "\n".join(parts)
