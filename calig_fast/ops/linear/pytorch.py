"""linear in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, backward: bool = False
) -> Tensor:
    """torch's own product, and an addition."""
    product = torch.nn.functional.linear(x, weight.T if backward else weight, bias)
    return product if residual is None else product.add_(residual)
