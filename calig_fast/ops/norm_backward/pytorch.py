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
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """torch's own kernel, in the statistics' dtype where that is wider, and an addition; of an RMS norm the definition.

    The kernel reads statistics that are not contiguous as if they were, so they are made so.
    """
    wide = deviation.dtype
    g, rows, w = gradient.to(wide), x.to(wide), None if weight is None else weight.to(wide)
    if mean is None:
        dx = _of_rms(g, rows, deviation, w)
    else:
        statistics = mean.contiguous(), deviation.contiguous()
        dx = torch.ops.aten.native_layer_norm_backward(g, rows, x.shape[-1:], *statistics, w, None, _INPUT_ALONE)[0]
    dx = dx.to(gradient.dtype)
    return dx if residual is None else dx.add_(residual)


def _of_rms(gradient: Tensor, x: Tensor, deviation: Tensor, weight: Tensor | None) -> Tensor:
    """The gradient of an RMS norm's input; PyTorch 2.6 has no kernel of it."""
    g, normed = gradient if weight is None else gradient * weight, x * deviation
    return deviation * (g - normed * (g * normed).mean(-1, keepdim=True))
