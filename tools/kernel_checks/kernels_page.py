"""docs/kernels.md, from the results of the tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calig_fast.bench import markdown
from tools.kernel_checks import gates
from tools.kernel_checks.occupancy import KINDS, occupancy

TEMPLATE = Path(__file__).with_name("kernels.md.j2")
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


def _triton(reports: list[dict[str, Any]]) -> list[list[Any]]:
    """A row for each operation, dtype and architecture."""
    rows = []
    for (op, dtype, arch), group in grouped(reports, "op", "dtype", "arch").items():
        share = [occupancy(arch, r["warps"] * WARPS[arch], r["registers"], r["shared"]) for r in group]
        wide = (f"{sum(r[k][0] for r in group)} of {sum(r[k][1] for r in group)}" for k in ("loads", "stores"))
        numbers = [span([r[k] for r in group]) for k in ("registers", "spills", "stack", "shared")]
        tensor = span([r["tensor"] for r in group]) if gates.required(op, "TENSOR_CORES", False) else ""
        rows.append([op, dtype, arch, len(group), *numbers, span(share, True), " / ".join(wide), tensor])
    return rows


def _cuda(kernels: list[dict[str, Any]]) -> list[list[Any]]:
    """A row for each folder and architecture."""
    rows = []
    for (op, arch), group in grouped(kernels, "op", "architecture").items():
        share = [occupancy(arch, k["threads"], k["registers"], k["shared"]) for k in group]
        numbers = [span([k[name] for k in group]) for name in ("threads", "registers", "spills", "stack", "shared")]
        counts = (sum(bool(k[name]) for k in group) for name in ("wide_accesses", "tensor_products"))
        rows.append([op, arch, len(group), *numbers, span(share, True), *counts])
    return rows


def page(results: dict[str, Any], known: dict[str, str]) -> str:
    """The whole page.

    Args:
        results: as `tools.kernel_checks.check.collect` makes them.
        known: failures that are allowed, and why.
    """
    reports = {
        kind: "FAILED" if part["failed"] else "nothing found" for kind, part in results.get("sanitizers", {}).items()
    }
    return markdown.page(
        TEMPLATE,
        results=results,
        known=known,
        limits=KINDS,
        triton=_triton,
        cuda=_cuda,
        reported=reports,
        expected={name: _expected(name) for name in results.get("planted", {})},
    )


def _expected(bug: str) -> str:
    """The report that the emulator owes for a planted bug."""
    from tools.kernel_checks.emulate import PLANTED

    kind, word = PLANTED[bug]
    return "nothing, there is none" if word is None else f"{kind}: {word}"
