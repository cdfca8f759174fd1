"""The operations' sample cases as the emulated launchers take them, and the answers they must give."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from calig_fast import ops

OPERATIONS = ops.operations("cuda")
Cases = Iterator[tuple[str, tuple[Any, ...]]]
FLOOR = 4  # as in tests/ops: twice plain PyTorch's error, and this many eps of the largest exact value


@dataclass(frozen=True)
class Problem:
    """One call of an emulated launcher.

    Args:
        op: the operation's name.
        buffers: tensors in the launcher's order, None for a null pointer; the outputs are among them.
        numbers, reals: the other arguments.
        outputs: the buffers that are written.
    """

    op: str
    buffers: list[Tensor | None]
    numbers: list[int]
    reals: list[float]
    outputs: list[Tensor]

    def run(self, library: ctypes.CDLL) -> list[Tensor]:
        """The outputs, over memory that was nan before."""
        for out in self.outputs:
            out.fill_(torch.nan)
        pointers = (ctypes.c_void_p * len(self.buffers))(*(None if b is None else b.data_ptr() for b in self.buffers))
        numbers = (ctypes.c_int64 * len(self.numbers))(*self.numbers)
        reals = (ctypes.c_double * max(1, len(self.reals)))(*self.reals)
        if failed := library.emulated_run(self.op.encode(), pointers, numbers, reals):
            raise RuntimeError(f"{self.op}: the launcher returned {failed}")
        return [out.clone() for out in self.outputs]

    def packed(self) -> bytes:
        """Pack the problem in the format of the standalone program."""
        parts = [self.op.encode().ljust(32, b"\0")]
        parts.append(struct.pack("<3q", len(self.buffers), len(self.numbers), len(self.reals)))
        parts.append(struct.pack(f"<{len(self.numbers)}q{len(self.reals)}d", *self.numbers, *self.reals))
        for buffer in self.buffers:
            content = b"" if buffer is None else _bytes(buffer)
            parts += [struct.pack("<q", -1 if buffer is None else len(content)), content]
        return b"".join(parts)


def _bytes(x: Tensor) -> bytes:
    """Its content; of one number, "contiguous" says nothing of the stride, so it is copied."""
    flat = x.new_empty(x.numel()).copy_(x.flatten())
    return flat.view(torch.uint8).numpy().tobytes()


def complete(op: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments and, where some are left out, their defaults."""
    given = inspect.signature(module(op, "spec").fake).bind(*args)
    given.apply_defaults()
    return given.args


def problem(op: str, args: tuple[Any, ...]) -> Problem:
    """An operation's arguments as its launcher takes them."""
    launch = module(op, "cuda").launch(*complete(op, args))
    inputs = [None if b is None else b.contiguous() for b in launch.inputs]
    return Problem(op, [*inputs, *launch.outputs], launch.numbers, launch.reals, launch.outputs)


def module(op: str, name: str) -> ModuleType:
    """A module of an operation's package."""
    return importlib.import_module(f"calig_fast.ops.{op}.{name}")


def cases(op: str) -> Cases:
    """Name and arguments of every sample case, and of some as wide as models are, in every dtype."""
    for dtype in module(op, "spec").DTYPES:
        for case in module(op, "spec").sample_cases(dtype):
            yield f"{op}, {dtype}, {case.name}", case.args
        torch.manual_seed(0)
        for case in module(op, "sizes").wider(dtype):
            yield f"{op}, {dtype}, {case.name}", case.args


def floor(op: str) -> int:
    """The part of the bound that plain PyTorch's error does not enter, in eps of the largest exact value."""
    epsilons: int = getattr(module(op, "sizes"), "FLOOR", FLOOR)
    return epsilons


def refusal(op: str, args: tuple[Any, ...], got: list[Tensor]) -> str | None:
    """The reason why a result is not accurate enough, or None."""
    exact, plain = module(op, "spec").exact(*args), module(op, "pytorch").__dict__[op](*args)
    plain = plain if isinstance(plain, tuple) else (plain,)
    for g, w, p in zip(got, exact, plain, strict=True):
        if not w.numel():
            continue
        unit = torch.finfo(g.dtype).eps * float(w.abs().max())
        ours, theirs = (float((x.double() - w).abs().max()) for x in (g, p))
        if not ours <= 2 * theirs + floor(op) * unit:  # nor a nan
            return f"error {ours:.3g}, plain PyTorch's {theirs:.3g}, unit {unit:.3g}"
    return None


def save(path: Path, problems: list[Problem]) -> None:
    """A file for the standalone program."""
    path.write_bytes(b"".join(p.packed() for p in problems))
