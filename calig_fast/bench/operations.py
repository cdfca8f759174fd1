"""The fused operations at BERT-base sizes: arguments, definitions, and the check before a time is reported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from .. import ops
from ..ops.model_sizes import Batch

# tokens of each input, and path points of each
LAYOUTS = {
    "8x128": ([128] * 8, 8),
    "ragged": ([23, 61, 128, 97, 200, 5, 77, 140], 8),
    "1x128, 20 points": ([128], 20),
    "1x512": ([512], 8),
    "32 ragged, 2 points": ([16 + 7 * i for i in range(32)], 2),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _module(op: str, name: str) -> Any:
    return importlib.import_module(f"calig_fast.ops.{op}.{name}")


# name of each timed call: the operation and which of `TIMED` in its sizes.py
_CALLS = {
    "_".join(filter(None, (op, variant))): (op, variant)
    for op in ops.operations()
    for variant in _module(op, "sizes").TIMED
}
OPERATIONS = tuple(_CALLS)
PROBLEMS = [
    (call, name)
    for call, (op, _) in _CALLS.items()
    for name, dtype in DTYPES.items()
    if dtype in _module(op, "spec").DTYPES
]


def problem(call: str, batch: Batch) -> tuple[Any, ...]:
    """Random arguments of one call."""
    op, variant = _CALLS[call]
    arguments: tuple[Any, ...] = _module(op, "sizes").TIMED[variant](batch)
    return arguments


def operation(call: str) -> Callable[..., Any]:
    """The operation that one of `OPERATIONS` times."""
    function: Callable[..., Any] = getattr(ops, _CALLS[call][0])
    return function


def products(call: str, batch: Batch) -> int:
    """Floating-point operations of the call's matrix products."""
    op, variant = _CALLS[call]
    count = getattr(_module(op, "sizes"), "products", None)
    return 0 if count is None else int(count(batch, variant))


def double(value: Any) -> Any:
    """The same arguments in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    return [double(v) for v in value] if isinstance(value, list) else value


def agree(run: Callable[..., Any], args: tuple[Any, ...], backend: str, dtype: torch.dtype) -> bool:
    """Return True if the backend's answer equals the float64 definition to the accuracy of the dtype."""
    got, wanted = run(*args, backend=backend), run(*map(double, args), backend="torch")
    pairs = [(got, wanted)] if isinstance(got, torch.Tensor) else list(zip(got, wanted, strict=True))
    eps = torch.finfo(dtype).eps
    return all(
        torch.allclose(g.double(), w, rtol=0, atol=32 * eps * float(w.abs().max())) for g, w in pairs if w.numel()
    )
