"""Time, operator calls and floating-point operations of a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.contenders import Answer, Contender
from calig_fast import ops
from calig_fast.bench.products import ATTENTION
from calig_fast.engines.native import compiled

# our own, over the segments' pairs of rows: as many, and which arguments are qkv and the offsets
PACKED = {
    torch.ops.calig_fast.attention_forward: (2, 0, 1),
    torch.ops.calig_fast.attention_backward: (5, 1, 4),
}
OPERATORS = ("aten::", "calig_fast::")


def timed(contender: Contender) -> tuple[Answer, float, float]:
    """The answer, CPU seconds of the process and wall seconds of a run that knows nothing of the runs before."""
    contender.reset()
    cpu, wall = time.process_time(), time.perf_counter()
    answer = contender.run()
    return answer, time.process_time() - cpu, time.perf_counter() - wall


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def operator_calls(run: Callable[[], Any]) -> int:
    """Calls of PyTorch's operators and ours, those made inside others counted too."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
    return sum(event.count for event in profiler.key_averages() if event.key.startswith(OPERATORS))


def matrix_flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and fused attention, PyTorch's and ours."""
    # a pass in C++ is one operator, whose products the count would not see
    with mock.patch.object(compiled, "takes", return_value=False), FlopCount() as counter:
        run()
    return counter.total


class FlopCount(TorchDispatchMode):
    """Adds up the operators below the modules, by the formulas of `torch.utils.flop_counter`.

    `FlopCounterMode` itself counts the same where it runs. Its tree of modules hangs hooks on their inputs, and these
    raise where `autograd.grad` is asked for the gradient of one, as Captum's layer methods and the native engine do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in ATTENTION:
            products, at = ATTENTION[packet]
            n, heads, asking, dim = args[at].shape
            self.total += products * 2 * n * heads * asking * args[at + 1].shape[2] * dim
        elif packet in PACKED:
            products, at, where = PACKED[packet]
            pairs = sum((end - start) ** 2 for start, end in pairwise(args[where].tolist()))
            self.total += products * 2 * pairs * args[at].shape[2] * args[at].shape[3]
        elif packet is torch.ops.calig_fast.linear:
            self.total += 2 * args[0].numel() * out.shape[1]
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **kwargs, out_val=out)
        return out


def product_peaks() -> dict[str, float]:
    """FLOP per CPU second of the best float32 product of two square matrices, 768 to 2048 rows: PyTorch's and ours."""
    best = {"PyTorch": 0.0, "ours": 0.0}
    for side in (768, 1024, 1536, 2048):
        a, b = torch.rand(2, side, side)
        for _ in range(6):
            for name, product in (("PyTorch", torch.mm), ("ours", _own_product)):
                started = time.process_time()
                product(a, b)
                best[name] = max(best[name], 2 * side**3 / (time.process_time() - started))
    return best


def _own_product(a: Tensor, b: Tensor) -> Tensor:
    return ops.linear(a, b, backward=True)
