"""activation_backward in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .spec import QUICK

_aten = torch.ops.aten

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda u: torch.nn.functional.gelu(u, approximate="tanh"),
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "quick_gelu": lambda u: u * torch.sigmoid(QUICK * u),
    "relu_squared": lambda u: torch.relu(u).square(),
}
_GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu": _aten.gelu_backward,
    "gelu_tanh": lambda g, u: _aten.gelu_backward(g, u, approximate="tanh"),
    "relu": lambda g, u: _aten.threshold_backward(g, u, 0),
    "silu": _aten.silu_backward,
    # u sigmoid(c u) is silu(c u) / c, whose slope is that of silu at c u
    "quick_gelu": lambda g, u: _aten.silu_backward(g, QUICK * u),
    "relu_squared": lambda g, u: _aten.threshold_backward(g * (2 * u), u, 0),
}


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def activation_backward(gradient: Tensor, inner: Tensor, kind: str, gated: bool = False) -> Tensor:
    """torch's own kernels; of a gated one the halves are joined afterwards."""
    if not gated:
        return _GRADIENTS[kind](gradient, inner)
    gate, value = inner.chunk(2, -1)
    return torch.cat([_GRADIENTS[kind](gradient * value, gate), gradient * FUNCTIONS[kind](gate)], -1)
