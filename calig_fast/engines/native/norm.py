"""Norms of packed rows, and their vector-Jacobian products."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import ops
from ...model.encoder import Norm
from ...ops.norm_backward import pytorch as plain_norm
from ...ops.norm_backward import spec as norm_spec

# the norm's input, its rows' means, and reciprocals of their deviations; no mean where none is subtracted
Parts = tuple[Tensor, Tensor | None, Tensor | None]


def norm(n: Norm | None, x: Tensor) -> tuple[Tensor, Parts]:
    """The normed rows of x [R,D], x itself where there is no norm, and the saved tensors for the backward pass."""
    if n is None:
        return x, (x, None, None)
    if n.rms:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        root = (wide.square().mean(-1, keepdim=True) + n.eps).rsqrt()
        out = (wide * root).to(x.dtype)
        return out if n.weight is None else out * n.weight, (x, None, root)
    out, mean, deviation = torch.ops.aten.native_layer_norm(x, x.shape[-1:], n.weight, n.bias, n.eps)
    return out, (x, mean, deviation)


def norm_vjp(n: Norm | None, g: Tensor, saved: Parts, residual: Tensor | None, backend: str) -> Tensor:
    """The gradient of the norm's input, the residual's added."""
    x, mean, deviation = saved
    if n is None or deviation is None:
        return g if residual is None else g + residual
    if n.frozen:  # without x', the deviation takes no part
        x, mean = torch.zeros_like(x), None if mean is None else torch.zeros_like(mean)
    if fused(g, norm_spec.DTYPES):
        return ops.norm_backward(g, x, mean, deviation, n.weight, residual, backend)
    return plain_norm.norm_backward(g, x, mean, deviation, n.weight, residual)


def fused(g: Tensor, dtypes: tuple[torch.dtype, ...]) -> bool:
    """Return True if the fused operations support such rows; PyTorch handles float16 on a CPU at any backend."""
    return g.dtype in dtypes and not (g.dtype == torch.float16 and g.device.type == "cpu")
