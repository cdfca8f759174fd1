"""Rounding of the integrands, layer by layer: one unit of a wide dtype, measured in a narrow one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..engines.base import PathPoints, Run
from ..quadrature.estimate import Floats, over
from ..quadrature.rules import corrected_trapezoid

NARROW = (torch.bfloat16, torch.float16)
MEASURED = 4  # calls at which it is measured; a tiny ViT rounded one picture by three times as much as another
OUTER, INNER = corrected_trapezoid(2)[:2].tolist()  # weights of an end and of the middle
UNKNOWN = 64  # units, where it cannot be measured: a random BERT base at 128 tokens misses 20 of its gap in bfloat16


def of_dtype(dtype: torch.dtype, layers: int) -> Floats:
    """[L], one unit in the last place: every product rounds, so an answer is no better than the dtype."""
    return np.full(layers, torch.finfo(dtype).eps)


def unknown(dtype: torch.dtype, layers: int) -> Floats:
    """[L], a size that the rounding of L blocks seldom passes."""
    return UNKNOWN * of_dtype(dtype, layers)


def measured(narrow: Run, wide: Run) -> Floats:
    """Relative rounding of the integrals, from phi at both ends and in the middle of the paths; the largest of all.

    The middle has most of the weight: from the ends alone a tiny BERT of bfloat16 stated 0.04 and was 0.10 off.

    Args:
        narrow: a run in 16 bits.
        wide: a run of the same problem in float32.

    Returns:
        [L].
    """
    dtype, layers = narrow.endpoints.first.dtype, narrow.endpoints.layers
    largest = of_dtype(dtype, layers)
    ends = (narrow.endpoints.slopes, wide.endpoints.slopes, _middles(narrow), _middles(wide))
    for slopes, theirs, middle, their_middle in zip(*ends, strict=True):
        pairs = [(slopes.high, theirs.high), (slopes.low, theirs.low), (middle, their_middle)]
        weights = [OUTER, OUTER, INNER]
        known = [
            (w * phi, w * exact)
            for w, (phi, exact) in zip(weights, pairs, strict=True)
            if not (phi is None or exact is None)
        ]
        phi, exact = (torch.stack(ends) for ends in zip(*known, strict=True))
        largest = np.maximum(largest, of_ends(phi, exact).max(axis=1, initial=0.0))
    return largest


def _middles(run: Run) -> Tensor:
    """phi in the middle of the paths of all layers and inputs, [K,L,B,T]."""
    layers, batch = run.endpoints.layers, len(run.endpoints.first)
    layer, row = np.indices((layers, batch)).reshape(2, -1)
    phi = run.integrand(PathPoints(layer=layer, row=row, node=np.full(len(row), 0.5)))[0]
    return phi.view(len(phi), layers, batch, -1)


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
