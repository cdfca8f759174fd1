"""Compile every Triton kernel for GPUs that are not present, and report registers, spills and shared memory.

No driver and no GPU is used. Run:
python -m tools.kernel_checks.triton_compile [--arch sm_90] [--op NAME] [--out report.md]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # read when the kernels load; interpreted, there is nothing to compile

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from calig_fast import ops
from calig_fast.ops.triton import Variant

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
# What the tensor cores' instructions are called in the machine code: mma.sync, wgmma, tcgen05.mma, mfma.
TENSOR = {"sm_80": r"\bHMMA\.", "sm_90": r"\bHG?MMA\.", "sm_100": r"\bUTC\w*MMA\b", "gfx942": r"\bv_mfma_"}
TYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.float16: "fp16", torch.bfloat16: "bf16"}
COMPILED = (torch.float32, torch.bfloat16, torch.float64)  # the first two of those that an operation takes


@dataclass(frozen=True)
class Report:
    """The resources of one kernel on one architecture.

    Args:
        op: the operation.
        variant: which of its cases.
        dtype: of the data.
        arch: the architecture.
        warps: of a program.
        registers: of a thread (gfx942: vector registers).
        spills: instructions that move registers to local memory and back (gfx942: registers spilled).
        stack: bytes of local memory of a thread.
        shared: bytes of shared memory of a program.
        loads: global loads of 128 bits among all, in the machine code.
        stores: the same of global stores.
        tensor: tensor-core instructions in the machine code.
        seconds: to compile it.
    """

    op: str
    variant: str
    dtype: str
    arch: str
    warps: int
    registers: int
    spills: int
    stack: int
    shared: int
    loads: tuple[int, int]
    stores: tuple[int, int]
    tensor: int
    seconds: float


def dtypes(op: str) -> tuple[torch.dtype, ...]:
    """The dtypes that an operation's kernels are compiled for."""
    taken = importlib.import_module(f"calig_fast.ops.{op}.spec").DTYPES
    return tuple(dtype for dtype in COMPILED if dtype in taken)[:2]


def _module(op: str) -> Any:
    return importlib.import_module(f"calig_fast.ops.{op}.triton")


def problems(op: str, dtype: torch.dtype, arch: str) -> Iterator[Variant]:
    """(variant, compile-time constants, configuration) of each case of an operation, as its triton.py gives them.

    A variant belongs to the kernel named by its first word and `_kernel`, if there is one, else to `kernel`.
    """
    yield from _module(op).variants(dtype, arch.startswith("gfx"))


def kernel_of(op: str, variant: str) -> Any:
    """The kernel that a variant is of."""
    module = _module(op)
    return getattr(module, f"{variant.partition(',')[0]}_kernel", None) or module.kernel


def argument(op: str, name: str) -> str:
    """Type of a kernel's argument: a number's, "*i64", "*sums" or, where its triton.py says nothing, "*data"."""
    type_name: str = _module(op).ARGUMENTS.get(name, "*data")
    return type_name


def source(op: str, variant: str, dtype: torch.dtype, constants: dict[str, Any]) -> ASTSource:
    """The kernel with its argument types, as a launch on aligned tensors would specialise it."""
    kernel = kernel_of(op, variant)
    named = {"*data": f"*{TYPES[dtype]}", "*sums": f"*{TYPES[torch.promote_types(dtype, torch.float32)]}"}
    signature, aligned = {}, {}
    for i, name in enumerate(kernel.arg_names):
        kind = argument(op, name)
        signature[name] = "constexpr" if name in constants else named.get(kind, kind)
        if name not in constants and kind != "fp32" and (kind != "i32" or name.startswith("width")):
            aligned[(i,)] = [["tt.divisibility", 16]]
    return ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)


def _tool(name: str, option: str, binary: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        tool = Path(triton.__file__).parent / "backends/nvidia/bin" / name
        done = subprocess.run([tool, option, file.name], capture_output=True, text=True, check=True)
    return done.stdout


def _count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text))


def measure(op: str, dtype: torch.dtype, variant: str, *, constants: dict[str, Any], config: Any, arch: str) -> Report:
    """Compile one kernel for one architecture and read its machine code."""
    start = time.perf_counter()
    constants = {**constants, **config.kwargs}
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    built = triton.compile(source(op, variant, dtype, constants), target=TARGETS[arch], options=options)
    seconds = round(time.perf_counter() - start, 2)
    if "cubin" in built.asm:
        code = _tool("nvdisasm", "-c", built.asm["cubin"])
        use = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", _tool("cuobjdump", "-res-usage", built.asm["cubin"])))
        registers, stack = int(use["REG"]), int(use["STACK"]) + int(use["LOCAL"])
        spills = _count(r"\b(?:LDL|STL)\b", code)
        loads = _count(r"\bLDG(?:STS)?\.E\S*\.128\b", code), _count(r"\bLDG(?:STS)?\b", code)
        stores = _count(r"\bSTG\.E\S*\.128\b", code), _count(r"\bSTG\b", code)
    else:
        code = built.asm["amdgcn"]
        use = dict(
            re.findall(r"\.(vgpr_count|vgpr_spill_count|sgpr_spill_count|private_segment_fixed_size):\s*(\d+)", code)
        )
        registers, stack = int(use["vgpr_count"]), int(use["private_segment_fixed_size"])
        spills = int(use["vgpr_spill_count"]) + int(use["sgpr_spill_count"])
        loads = _count(r"(?:global|buffer)_load_dwordx4", code), _count(r"(?:global|buffer)_load_", code)
        stores = _count(r"(?:global|buffer)_store_dwordx4", code), _count(r"(?:global|buffer)_store_", code)
    return Report(
        op,
        variant,
        str(dtype).removeprefix("torch."),
        arch,
        warps=config.num_warps,
        registers=registers,
        spills=spills,
        stack=stack,
        shared=built.metadata.shared,
        loads=loads,
        stores=stores,
        tensor=_count(TENSOR[arch], code),
        seconds=seconds,
    )


# attention_gradient has no variants of its own: its kernel is the one of maps of attention_backward
OPERATIONS = tuple(op for op in ops.operations("triton") if hasattr(_module(op), "variants"))


def reports(ops: tuple[str, ...] = OPERATIONS, archs: tuple[str, ...] = tuple(TARGETS)) -> Iterator[Report]:
    """Every case of some operations in each of its dtypes, on some architectures."""
    for op in ops:
        for dtype in dtypes(op):
            for arch in archs:
                for variant, constants, config in problems(op, dtype, arch):
                    yield measure(op, dtype, variant, constants=constants, config=config, arch=arch)


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(f'{c[0]} of {c[1]}' if isinstance(c, tuple) else str(c) for c in cells)} |"


def main(arguments: list[str]) -> None:
    """Print the table; write it, or for a name that ends in .json the same as data, to --out."""
    parser = argparse.ArgumentParser(prog="python -m tools.kernel_checks.triton_compile", description=__doc__)
    parser.add_argument("--op", nargs="*", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--arch", nargs="*", choices=TARGETS, default=tuple(TARGETS))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    names = [field.name for field in fields(Report)]
    lines, all_reports = [_line(names), _line(["---"] * len(names))], []
    print("\n".join(lines))
    for report in reports(tuple(chosen.op), tuple(chosen.arch)):
        all_reports.append(report)
        lines.append(_line([getattr(report, name) for name in names]))
        print(lines[-1], flush=True)
    if chosen.out is not None:
        data = json.dumps([asdict(report) for report in all_reports], indent=1)
        chosen.out.write_text(data + "\n" if chosen.out.suffix == ".json" else "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
