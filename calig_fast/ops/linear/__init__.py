"""Rows times a layer's weight, its bias and a residual added."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES, fused=False)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    backward: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Apply a linear layer to rows, or compute the gradient of its rows, with a residual.

    y = x W^T + b + residual; where `backward`, y = x W + b + residual. No row's result depends on the other rows.

    Args:
        x: [R,K] float32 or float64.
        weight: W [N,K], where `backward` [K,N], dtype of `x`.
        bias: b [N], dtype of `x`, or None for zeros.
        residual: [R,N], dtype of `x`, or None for zeros.
        backward: multiply by W as it lies, not by its transpose.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND. On a GPU it is
            PyTorch's own product.

    Returns:
        [R,N], dtype of `x`; shares no memory with the arguments.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(x, weight, bias, residual, backward)
    return cast(Tensor, OPERATION(backend, x, weight, bias, residual, backward))
