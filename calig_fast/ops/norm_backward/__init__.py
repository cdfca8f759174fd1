"""Input gradient of a layer norm or an RMS norm, with the residual's gradient added."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from ..dispatch import Operation
from . import spec

OPERATION = Operation(__name__, spec.SCHEMA, spec.fake, spec.DTYPES)


def norm_backward(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Gradient of a norm's input, with the gradient of the residual added.

    Layer norm: dx = s (g w - mean(g w) - x' mean(g w x')) + residual, with x' = (x - m) s and means over the last axis.
    RMS norm: dx = s (g w - x' mean(g w x')) + residual, with x' = x s.

    Args:
        gradient: g [R,D] float32, float64, float16 or bfloat16 (both computed in float32); gradient of the norm's
            output.
        x: [R,D], dtype of `gradient`; the norm's input.
        mean: m [R,1], dtype of `gradient`, or float32 where that has 16 bits; as torch's native_layer_norm gives it;
            None for an RMS norm.
        deviation: s [R,1], likewise; the reciprocal of the standard deviation, or of the root of the mean square.
        weight: w [D], dtype of `gradient`, or None for ones.
        residual: [R,D], dtype of `gradient`, or None for zeros.
        backend: 'auto', 'torch', 'cpu', 'triton' or 'cuda'; 'auto' also reads CALIG_FAST_BACKEND.

    Returns:
        [R,D], dtype of `gradient`; shares no memory with the arguments.

    Raises:
        TypeError: an argument of another dtype.
        ValueError: an argument of another shape or device; an unknown backend.
        RuntimeError: the backend asked for cannot run.
    """
    spec.check(gradient, x, mean, deviation, weight, residual)
    return cast(Tensor, OPERATION(backend, gradient, x, mean, deviation, weight, residual))
