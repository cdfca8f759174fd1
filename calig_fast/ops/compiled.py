"""The arguments that compiled implementations support."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CPU_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def refusal(device: str, tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype] = CPU_DTYPES) -> str | None:
    """The reason why the kernels of a device, "cpu" or "cuda", cannot take these tensors, or None.

    Args:
        device: the kernels'.
        tensors: the arguments.
        dtypes: floating dtypes that they take.
    """
    for tensor in tensors:
        if tensor.device.type != device:
            return f"a tensor is on {tensor.device}, the {device} kernels take {device.upper()} tensors"
        if tensor.is_floating_point() and tensor.dtype not in dtypes:
            return f"the {device} kernels do not take {tensor.dtype}"
    return None
