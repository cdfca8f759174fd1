"""The build of this installation, and the backends that this machine can run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from . import backends, extension


@dataclass(frozen=True)
class BuildInfo:
    """The build of this installation and the backends that run here.

    Args:
        compiled: None where the compiled operations are loaded, else why not.
        compiler: name and version of the C++ compiler, or None.
        torch_built: the torch version the compiled operations were built for, or None.
        torch_running: the torch version in use.
        cuda: the toolkit's version the CUDA part was built with, or None.
        cuda_note: why there is no CUDA part; '' where there is one.
        architectures: the compiled targets: the processor, and the GPU architectures.
        capability: the CPU capability PyTorch detected (ATEN_CPU_CAPABILITY lowers it).
        instruction_sets: instruction sets that the CPU kernels were compiled for.
        instruction_set: the one in use, or None.
        backends: every backend: None where it can be used, else the reason why not.
    """

    compiled: str | None
    compiler: str | None
    torch_built: str | None
    torch_running: str
    cuda: str | None
    cuda_note: str
    architectures: tuple[str, ...]
    capability: str
    instruction_sets: tuple[str, ...]
    instruction_set: str | None
    backends: Mapping[str, str | None]

    def __str__(self) -> str:
        compiled = ", ".join(f"{s} (in use)" if s == self.instruction_set else s for s in self.instruction_sets)
        lines = {
            "compiled operations": "loaded" if self.compiled is None else f"none: {self.compiled}",
            "compiler": self.compiler or "none",
            "torch": f"{self.torch_running} (built for {self.torch_built or 'none'})",
            "CUDA part": f"CUDA {self.cuda}" if self.cuda else f"none: {self.cuda_note}",
            "architectures": ", ".join(self.architectures) or "none",
            "CPU capability": self.capability,
            "instruction sets": compiled or "none",
            **{f"backend {name}": reason or "usable" for name, reason in self.backends.items()},
        }
        width = max(map(len, lines))
        return "\n".join(["calig_fast", *(f"  {name:<{width}}  {text}" for name, text in lines.items())])


def build_info() -> BuildInfo:
    """Return the build of this installation, and the backends that can run here.

    Returns:
        a `BuildInfo`; `print` it.
    """
    loaded_extension = extension()
    built = {} if loaded_extension.module is None else loaded_extension.module.build_info()
    return BuildInfo(
        compiled=loaded_extension.reason or None,
        compiler=built.get("compiler"),
        torch_built=loaded_extension.built_for or None,
        torch_running=str(torch.__version__),
        cuda=built.get("cuda") or None,
        cuda_note=built.get("cuda_note", "no compiled operations"),
        architectures=(platform.machine(), *built["architectures"].split()) if built else (),
        capability=torch.backends.cpu.get_cpu_capability(),
        instruction_sets=tuple(built.get("instruction_sets", ())),
        instruction_set=built.get("isa"),
        backends=backends(),
    )
