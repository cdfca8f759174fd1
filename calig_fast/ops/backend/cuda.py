"""The compiled CUDA kernels."""

from __future__ import annotations

import torch

from .base import Backend
from .extension import extension


def available() -> str | None:
    """The reason why no CUDA kernel can run here, or None."""
    if not torch.cuda.is_available():
        return "no GPU that torch can use"
    module = extension().module
    if module is None:
        return f"built without CUDA: {extension().reason}"
    return None if module.build_info()["cuda"] else f"built without CUDA: {module.build_info()['cuda_note']}"


BACKEND = Backend("cuda", 30, available)
