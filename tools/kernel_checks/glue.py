"""Runs the registration of the CUDA kernels with PyTorch, csrc/<op>/<op>_torch.cpp, on CPU tensors, emulated.

Checks, scratch memory and tables are those of a GPU. Only tools/kernel_checks/include differs: no streams, no
devices, and a dispatch key that nothing else uses. float16 is left out: on a CPU the glue refuses it.
"""

from __future__ import annotations

import inspect
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
    answer = getattr(torch.ops.calig_fast, op).default.redispatch(KEY, *problems.complete(op, args))
    return list(answer) if isinstance(answer, (tuple, list)) else [answer]


def with_table(op: str, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The arguments with the table of the path segments, made beforehand; None for an operation without one."""
    names = list(inspect.signature(problems.module(op, "spec").fake).parameters)
    if "steps" not in names:
        return None
    given = dict(zip(names, problems.complete(op, args), strict=True))
    offsets, inputs = given["offsets"], given["inputs"]
    values = given["nodes" if "nodes" in given else "weights"].double().contiguous().view(torch.int64)
    lengths, order = offsets.diff()[inputs], torch.argsort(inputs, stable=True)
    given["steps"] = torch.stack([lengths.cumsum(0) - lengths, values], 1)[order]
    given["begin"] = torch.searchsorted(inputs[order], torch.arange(len(offsets)))
    return tuple(given.values())


def values(op: str) -> int:
    """Every case of one operation, over memory that was nan before; also with the table of its segments given.

    Returns:
        the number of cases.

    Raises:
        AssertionError: an answer is not good enough.
    """
    count, before = 0, torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills what is empty with nan
    for name, args in problems.cases(op):
        if f"{torch.float16}," not in name:
            answer, complete = run(op, args), with_table(op, args)
            assert (reason := problems.refusal(op, args, answer)) is None, f"{name}: {reason}"
            if complete is not None:
                pairs = zip(answer, run(op, complete), strict=True)
                assert all(torch.equal(a, b) for a, b in pairs), f"{name}: another answer with the table given"
            count += 1
    torch.use_deterministic_algorithms(before)
    return count
