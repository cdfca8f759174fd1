"""norm_backward in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

_INPUT_ALONE = (True, False, False)


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def norm_backward(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """torch's own kernel, in the statistics' dtype where that is wider, and an addition.

    The kernel reads statistics that are not contiguous as if they were, so they are made so.
    """
    wide = mean.dtype
    found: Tensor = torch.ops.aten.native_layer_norm_backward(
        gradient.to(wide),
        x.to(wide),
        x.shape[-1:],
        mean.contiguous(),
        deviation.contiguous(),
        None if weight is None else weight.to(wide),
        None,
        _INPUT_ALONE,
    )[0]
    found = found.to(gradient.dtype)
    return found if residual is None else found.add_(residual)
