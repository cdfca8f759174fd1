"""A call of a CUDA launcher as flat arrays, in which the emulator of the kernels takes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

SCALARS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}  # Scalar of csrc/common/scalar.h


@dataclass(frozen=True)
class Launch:
    """The arguments that csrc/<op>/<op>_flat.h reads.

    Args:
        inputs: tensors in the launcher's order, None for a null pointer.
        outputs: tensors that it writes, after the inputs.
        numbers: its integers.
        reals: its real numbers.
    """

    inputs: list[Tensor | None]
    outputs: list[Tensor]
    numbers: list[int]
    reals: list[float] = field(default_factory=list)


def segment_rows(offsets: Tensor, inputs: Tensor) -> int:
    """Rows of all segments of some inputs."""
    return int(offsets.diff()[inputs].sum())


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the launchers' arithmetic: float64 for float64, else float32."""
    return torch.promote_types(dtype, torch.float32)
