"""Rounding of the integrands, layer by layer: one unit of a wide dtype, measured in a narrow one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
    """Relative rounding of the integrals, from phi at both ends of the paths; the largest of the inputs and scalars.

    Args:
        narrow: a run in 16 bits.
        wide: a run of the same problem in float32.

    Returns:
        [L].
    """
    dtype, layers = narrow.endpoints.first.dtype, narrow.endpoints.layers
    largest = of_dtype(dtype, layers)
    for slopes, theirs in zip(narrow.endpoints.slopes, wide.endpoints.slopes, strict=True):
        pairs = [(slopes.high, theirs.high), (slopes.low, theirs.low)]
        known = [(phi, exact) for phi, exact in pairs if phi is not None and exact is not None]
        phi, exact = (torch.stack(ends) for ends in zip(*known, strict=True))
        largest = np.maximum(largest, of_ends(phi, exact).max(axis=1, initial=0.0))
    return largest


def of_ends(phi: Tensor, exact: Tensor) -> Floats:
    """Relative rounding of the integral of each path, from its values at the ends.

    The larger of two: sum |phi - phi'| / sum |phi'| over the ends, and |sum (phi - phi')| / |sum phi'|, the rounding
    of the trapezoid on them. The first counts each end by its share of the integral; the second sees what cancels.

    Args:
        phi: in 16 bits, [ends,L,B,T].
        exact: phi', the same in a wide dtype.

    Returns:
        [L,B].
    """
    missed = (phi - exact).double()
    apart = over(_sizes(missed).sum(0), _sizes(exact).sum(0))
    return np.maximum(apart, over(_sizes(missed.sum(0)), _sizes(exact.sum(0))))


def _sizes(rows: Tensor) -> Floats:
    sizes: Floats = rows.norm(dim=-1).cpu().numpy()
    return sizes
