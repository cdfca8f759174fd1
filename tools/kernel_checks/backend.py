"""The backend "cuda" on CPU tensors: the CUDA kernels under the emulator, for as long as a context manager is open."""

from __future__ import annotations

import ctypes
import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from torch import Tensor

from calig_fast.ops import dispatch
from tools.kernel_checks import problems


@contextmanager
def emulated_cuda(library: ctypes.CDLL) -> Iterator[Counter[str]]:
    """Run the operations that have a CUDA kernel under the emulator where the backend "cuda" is asked for.

    The others, and the dispatcher's choice among their backends, are as they are.

    Args:
        library: the emulated launchers, of `emulate.load`.

    Yields:
        how often each operation's launcher was called.
    """
    calls: Counter[str] = Counter()
    lacks = dispatch._machine_lacks

    def machine_lacks(name: str) -> str | None:
        return None if name == "cuda" else lacks(name)

    def run(op: str, *args: Any) -> Tensor | tuple[Tensor, ...]:
        calls[op] += 1
        outputs = problems.problem(op, args).run(library)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    library.emulated_schedule(0, 0)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(dispatch, "_machine_lacks", machine_lacks))
        for op in problems.OPERATIONS:
            module = problems.module(op, "cuda")
            stack.enter_context(mock.patch.object(module, "supports", return_value=None))
            stack.enter_context(mock.patch.object(module, op, functools.partial(run, op)))
        yield calls
