"""A residual's rows added, and the layer norm of the sum."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def add_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The layer norm of the sum of two batches of rows, with the tensors that its gradient needs.

    y = x + residual, out = (y - m) s w + b, with m the mean of y over the last axis and s = 1 / sqrt(var(y) + eps).

    Args:
        x: [R,D] float32, float64, float16 or bfloat16 (both computed in float32).
        residual: [R,D], dtype of `x`.
        weight: w [D], dtype of `x`, or None for ones.
        bias: b [D], dtype of `x`, or None for zeros.
        eps: added to the variance.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        out and y [R,D], dtype of `x`; m and s [R,1], float64 for float64 rows, else float32, of y before it is rounded
        to 16 bits. `norm_backward` takes y, m and s. Nothing shares memory with the arguments.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(x, residual, weight, bias)
    tensors = OPERATION(backend, x, residual, weight, bias, float(eps))
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], tuple(tensors))
