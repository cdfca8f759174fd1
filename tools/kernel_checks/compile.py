"""Compiles the CUDA kernels for real GPUs, without one: registers, spills, shared memory, 128-bit accesses,
and instructions of tensor cores.

python -m tools.kernel_checks.compile --out FILE   a table, and JSON; cuobjdump is the toolkit's or triton's
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.kernel_checks.build import KERNELS

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
USED = re.compile(
    r"Function properties for (\S+)\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*?Used (\d+) registers(?:.*?(\d+) bytes smem)?"
)

BOUNDS = re.compile(r"\.entry (\w+)\([^{]*?\.maxntid (\d+)")


@dataclass(frozen=True)
class Kernel:
    """The report of ptxas on one kernel.

    Args:
        op: folder of its source.
        architecture: what it was compiled for.
        name: as the linker knows it.
        threads: of a block, by its launch bounds.
        registers: of a thread.
        stack, spills: bytes of local memory of a thread, and the part of them for spilled registers.
        shared: bytes of a block, without what a launch adds.
        wide_accesses, tensor_products: 128-bit global accesses and products on tensor cores in its code; None where no
            cuobjdump is at hand.
    """

    op: str
    architecture: str
    name: str
    threads: int
    registers: int
    stack: int
    spills: int
    shared: int
    wide_accesses: int | None
    tensor_products: int | None


def cuobjdump() -> str | None:
    """The program that shows machine code, or None."""
    triton = importlib.util.find_spec("triton")
    beside = Path(triton.origin).parent / "backends/nvidia/bin" if triton and triton.origin else Path()
    return shutil.which("cuobjdump") or shutil.which("cuobjdump", path=str(beside))


def _instructions(cubin: Path) -> dict[str, tuple[int, int]]:
    """Return the two counts of each kernel."""
    tool = cuobjdump()
    if tool is None:
        return {}
    code = subprocess.run([tool, "-sass", str(cubin)], capture_output=True, text=True, check=True).stdout
    functions = re.split(r"\bFunction : (\S+)", code)[1:]
    named_bodies = zip(functions[::2], functions[1::2], strict=True)
    patterns = r"\b(?:LDG|STG)\.E(?:\.\w+)*\.128", r"\bHMMA\.\w+"
    counted = ((name, [len(re.findall(p, body)) for p in patterns]) for name, body in named_bodies)
    return {name: (wide, products) for name, (wide, products) in counted}


def kernels(source: Path, architecture: str) -> list[Kernel]:
    """Compile one file for one architecture.

    Raises:
        RuntimeError: nvcc refused it.
    """
    with TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        keep = ["-keep", f"-keep-dir={folder}"]
        command = ["nvcc", "-std=c++17", "-O3", f"-arch={architecture}", "-cubin", "-Xptxas=-v", *keep]
        done = subprocess.run([*command, str(source), "-o", str(cubin)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{source.name}, {architecture}:\n{done.stderr}")
        counts = _instructions(cubin)
        (ptx,) = Path(folder).glob("*.ptx")
        threads = dict(BOUNDS.findall(ptx.read_text()))
    used = USED.findall(done.stderr)
    if unbounded := [name for name, *_ in used if name not in threads]:
        raise RuntimeError(f"{source.name}: no __launch_bounds__ on {', '.join(unbounded)}")
    return [
        Kernel(
            source.parent.name,
            architecture,
            name,
            int(threads[name]),
            int(registers),
            int(stack),
            int(stores) + int(loads),
            int(shared or 0),
            *counts.get(name, (None, None)),
        )
        for name, stack, stores, loads, registers, shared in used
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON of every kernel")
    parser.add_argument("--op", nargs="*", choices=[k.parent.name for k in KERNELS], help="all, where it is not given")
    options = parser.parse_args()
    every = []
    print("| operation | for | kernels | registers | bytes spilled | shared bytes | 128-bit accesses | tensor cores |")
    print("|---|---|---|---|---|---|---|---|")
    for source in KERNELS:
        if options.op is not None and source.parent.name not in options.op:
            continue
        for architecture in ARCHITECTURES:
            compiled_kernels = kernels(source, architecture)
            every += compiled_kernels
            registers, shared = [k.registers for k in compiled_kernels], max(k.shared for k in compiled_kernels)
            spills, wide = sum(k.spills for k in compiled_kernels), sum(bool(k.wide_accesses) for k in compiled_kernels)
            tensor = sum(bool(k.tensor_products) for k in compiled_kernels)
            span = f"{min(registers)} to {max(registers)}"
            cells = compiled_kernels[0].op, architecture, len(compiled_kernels), span, spills, shared, wide, tensor
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps([asdict(k) for k in every], indent=1) + "\n")


if __name__ == "__main__":
    main()
