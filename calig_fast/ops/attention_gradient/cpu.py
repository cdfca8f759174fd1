"""attention_gradient on a CPU: its definition with PyTorch's own products."""

from __future__ import annotations

from torch import Tensor

from ..compiled import refusal
from .pytorch import attention_gradient

__all__ = ["attention_gradient", "supports"]


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal("cpu", tensors)
