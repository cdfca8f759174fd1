"""What the compiled CPU implementations can take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def refusal(tensors: Sequence[Tensor]) -> str | None:
    """Why the CPU kernels cannot take these tensors, or None."""
    for tensor in tensors:
        if tensor.device.type != "cpu":
            return f"a tensor is on {tensor.device}, the cpu kernels take CPU tensors"
        if tensor.is_floating_point() and tensor.dtype not in DTYPES:
            return f"the cpu kernels do not take {tensor.dtype}"
    return None
