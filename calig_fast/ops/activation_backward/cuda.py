"""activation_backward in CUDA: csrc/activation_backward."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled import refusal
from ..launch import SCALARS, Launch
from .spec import DTYPES, KINDS

activation_backward = torch.ops.calig_fast.activation_backward


def supports(*tensors: Tensor) -> str | None:
    """CUDA tensors of the operation's dtypes."""
    return refusal("cuda", tensors, DTYPES)


def launch(gradient: Tensor, inner: Tensor, kind: str, gated: bool) -> Launch:
    """The call as its launcher takes it."""
    numbers = [*gradient.shape, SCALARS[gradient.dtype], KINDS.index(kind), int(gated)]
    return Launch([gradient, inner], [inner.new_empty(inner.shape)], numbers)
