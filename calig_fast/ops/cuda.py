"""What the CUDA implementations can take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def refusal(tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> str | None:
    """Why the CUDA kernels cannot take these tensors, or None."""
    for tensor in tensors:
        if tensor.device.type != "cuda":
            return f"a tensor is on {tensor.device}, the cuda kernels take CUDA tensors"
        if tensor.is_floating_point() and tensor.dtype not in dtypes:
            return f"the cuda kernels do not take {tensor.dtype}"
    return None
