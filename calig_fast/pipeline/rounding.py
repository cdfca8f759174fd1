"""Rounding of the integrands, layer by layer: one unit of a wide dtype, measured in a narrow one."""

from __future__ import annotations

import numpy as np
import torch

from ..engines.base import Run
from ..quadrature.estimate import Floats, over

NARROW = (torch.bfloat16, torch.float16)
MEASURED = 4  # calls at which it is measured; a tiny ViT rounded one picture by three times as much as another
UNKNOWN = 64  # units, where it cannot be measured: a random BERT base at 128 tokens misses 20 of its gap in bfloat16


def of_dtype(dtype: torch.dtype, layers: int) -> Floats:
    """[L], one unit in the last place: every product rounds, so an answer is no better than the dtype."""
    return np.full(layers, torch.finfo(dtype).eps)


def unknown(dtype: torch.dtype, layers: int) -> Floats:
    """[L], a size that the rounding of L blocks seldom passes."""
    return UNKNOWN * of_dtype(dtype, layers)


def measured(narrow: Run, wide: Run) -> Floats:
    """Relative rounding of phi at both ends of the paths, the largest of the inputs and scalars.

    |phi - phi'| / |phi'|, norms over the tokens, phi' of the run in float32.

    Args:
        narrow: a run in 16 bits.
        wide: a run of the same problem in float32.

    Returns:
        [L].
    """
    dtype, layers = narrow.endpoints.first.dtype, narrow.endpoints.layers
    found = of_dtype(dtype, layers)
    for mine, theirs in zip(narrow.endpoints.slopes, wide.endpoints.slopes, strict=True):
        for phi, exact in ((mine.high, theirs.high), (mine.low, theirs.low)):
            if phi is None or exact is None:
                continue
            missed, size = ((phi - exact).norm(dim=2).cpu().numpy(), exact.norm(dim=2).cpu().numpy())
            found = np.maximum(found, over(missed, size).max(axis=1, initial=0.0))
    return found
