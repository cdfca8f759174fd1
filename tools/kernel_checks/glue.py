"""Runs the registration of the CUDA kernels with PyTorch, csrc/<op>/<op>_torch.cpp, on CPU tensors, emulated.

Checks, scratch memory and tables are those of a GPU. Only tools/kernel_checks/include differs: no streams, no
devices, and a dispatch key that nothing else uses. float16 is left out: on a CPU the glue refuses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import calig_fast.ops  # noqa: F401  defines the operations
from tools.kernel_checks import build, problems

KEY = torch._C.DispatchKeySet(torch._C.DispatchKey.PrivateUse3)


def load(folder: Path) -> None:
    """Build the library, nearly a minute of one core, and load it."""
    torch.ops.load_library(str(build.glue(folder, Path(torch.__file__).parent)))


def run(op: str, args: tuple[Any, ...]) -> list[Tensor]:
    """Return the result of the registered function."""
    found = getattr(torch.ops.calig_fast, op).default.redispatch(KEY, *problems.complete(op, args))
    return list(found) if isinstance(found, (tuple, list)) else [found]


def values(op: str) -> int:
    """Every case of one operation, over memory that was nan before.

    Returns:
        the number of cases.

    Raises:
        AssertionError: an answer is not good enough.
    """
    count, before = 0, torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills what is empty with nan
    for name, args in problems.cases(op):
        if f"{torch.float16}," not in name:
            assert (reason := problems.refusal(op, args, run(op, args))) is None, f"{name}: {reason}"
            count += 1
    torch.use_deterministic_algorithms(before)
    return count
