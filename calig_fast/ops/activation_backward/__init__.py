"""Gradient of an MLP's rows before the activation."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def activation_backward(
    gradient: Tensor, inner: Tensor, kind: str, gated: bool = False, backend: str = "auto"
) -> Tensor:
    """Gradient of the rows that an activation f was applied to.

    du = g f'(u); of a gated one, f(u) v with u and v side by side, (du, dv) = (g v f'(u), g f(u)) side by side.

    Args:
        gradient: g [R,I] float32, float64, float16 or bfloat16 (both computed in float32); gradient of the activated
            rows.
        inner: [R,I], gated [R,2I], dtype of `gradient`; the rows before the activation.
        kind: 'gelu', 'gelu_tanh', 'quick_gelu' (u sigmoid(1.702 u)), 'relu' (its slope at 0 is 0),
            'relu_squared' or 'silu'.
        gated: the activated first half of the rows multiplies the second.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        shape and dtype of `inner`; shares no memory with the arguments.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape or device; an unknown kind or backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(gradient, inner, kind, gated)
    return cast(Tensor, OPERATION(backend, gradient, inner, kind, gated))
