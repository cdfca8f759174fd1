"""The conditions that the kernel checks must meet, and the known exceptions."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from calig_fast import ops

MOST_BYTES, MOST_SECTORS = 1.1, 1.15  # over the least
HALF = re.compile(r"13__nv_bfloat16|6__half")
PACKED = re.compile(r"I(?:13__nv_bfloat16|6__half)Li8E|IfLi4E|IdLi2E")  # the instances for rows of whole packs

# Failures that are known, by the beginning of what is said of them, and why they stand.
ALLOWED = {
    "triton attention_* heads of 24 gfx942: no 128-bit load": "rows of 24 numbers, no model's: AMD's compiler takes "
    "them in pieces of 64 bits and less",
    "traffic fuse_rollout T 256, too large to be held float32: *": "its denominator must be known before the map is "
    "used, so a map larger than a block's shared memory is read twice, the second time from L2",
    "traffic attention_gradient *": "bound by arithmetic: each of the tiles across reads its rows again, from L2",
}


def failures(results: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the violated conditions of the results.

    Args:
        results: as `tools.kernel_checks.check.collect` makes them; a part that is missing was not run.

    Returns:
        the violations that are not allowed, in words; and the allowed violations with their reasons.
    """
    new, known = [], {}
    for said in [*_triton(results.get("triton", [])), *_cuda(results.get("cuda", [])), *_emulated(results)]:
        reason = next((why for pattern, why in ALLOWED.items() if fnmatch(said, pattern)), None)
        if reason is None:
            new.append(said)
        else:
            known[said] = reason
    return new, known


def required(op: str, name: str, default: Any) -> Any:
    """WIDE_ACCESSES or TENSOR_CORES of an operation's sizes.py; the default for the kernels of csrc/common."""
    if op not in ops.operations():
        return default
    return getattr(importlib.import_module(f"calig_fast.ops.{op}.sizes"), name, default)


def memory_bound(op: str) -> bool:
    """Return True for an operation whose kernels must access memory by 128 bits, and multiply nothing."""
    return bool(required(op, "WIDE_ACCESSES", ())) and not required(op, "TENSOR_CORES", False)


def _triton(reports: list[dict[str, Any]]) -> Iterator[str]:
    for r in reports:
        wide, products = required(r["op"], "WIDE_ACCESSES", ()), required(r["op"], "TENSOR_CORES", False)
        name = " ".join(filter(None, ("triton", r["op"], r["variant"], r["dtype"], r["arch"])))
        if r["spills"] or r["stack"]:
            yield f"{name}: {r['spills']} spills, {r['stack']} bytes of local memory"
        if "load" in wide and not r["loads"][0]:
            short = name.replace(f"{r['dtype']} ", "").replace("queries, ", "").replace("keys, ", "")
            yield f"{short.replace('maps, ', '')}: no 128-bit load"
        if "store" in wide and not r["stores"][0]:
            yield f"{name}: no 128-bit store"
        if products and r["dtype"] == "bfloat16" and r["arch"] in ("sm_80", "sm_90") and not r["tensor"]:
            yield f"{name}: no tensor-core instruction"


def _cuda(kernels: list[dict[str, Any]]) -> Iterator[str]:
    for k in kernels:
        name = f"cuda {k['op']} {k['name']} {k['architecture']}"
        if k["spills"] or k["stack"]:
            yield f"{name}: {k['spills']} bytes spilled, {k['stack']} bytes of local memory"
        if memory_bound(k["op"]) and PACKED.search(k["name"]) and k["wide_accesses"] == 0:
            yield f"{name}: no 128-bit access"
        if required(k["op"], "TENSOR_CORES", False) and HALF.search(k["name"]) and k["tensor_products"] == 0:
            yield f"{name}: no tensor-core instruction"


def _emulated(results: dict[str, Any]) -> Iterator[str]:
    for part in ("interpreter", "values", "sanitizers", "planted", "twins"):
        for name, said in results.get(part, {}).items():
            if said["failed"]:
                yield f"{part} {name}: {said['failed']}"
    for t in results.get("traffic", []):
        if t["over_least"] > MOST_BYTES or t["over_ideal"] > MOST_SECTORS:
            where = f"traffic {t['op']} {t['shape']} {t['dtype']}"
            yield f"{where}: {t['over_least']:.2f} times the least bytes, {t['over_ideal']:.2f} times the least sectors"
