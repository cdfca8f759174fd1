"""The straight path from baselines to inputs, and sums of gradients along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import is_meta, kind, shown
from .._utils.warn import warn
from .arguments import Baseline, Tensors

Gradient = Callable[[Tensors, int], Tensors]


def points(low: Sequence[Baseline], high: Tensors, nodes: Sequence[float]) -> Tensors:
    """low + a (high - low) at every node a, one batch after another."""
    return tuple(torch.cat([x0 + a * (x - x0) for a in nodes]) for x0, x in zip(low, high, strict=True))


def steps_at_once(internal_batch_size: Any, rows: int, n: int, least: int = 1) -> int:
    """Return the number of nodes, of n, that go through the model at once.

    Args:
        internal_batch_size: rows the caller allows, None for all of them; the least that is needed where it is less.
        rows: of the batch.
        n: nodes.
        least: nodes that are needed at once.

    Raises:
        TypeError: no number.
    """
    if internal_batch_size is None:
        return n
    item = internal_batch_size
    if isinstance(item, np.ndarray | np.generic | Tensor) and math.prod(item.shape) == 1 and not is_meta(item):
        item = item.item()  # Captum compares it, which one element allows
    if not isinstance(item, Real | Decimal):
        raise TypeError(f"internal_batch_size: expected None or a number of rows, got {kind(internal_batch_size)}")
    allowed: Any = item
    if not allowed >= least * rows:  # Captum takes the least it can for any number below, NaN too
        warn(
            f"internal_batch_size {shown(internal_batch_size)} is less than the {least * rows} rows needed at once, "
            f"so {least * rows} are taken"
        )
        return least
    return n if allowed >= n * rows else int(allowed // rows)


def integral(
    gradient: Gradient,
    low: Sequence[Baseline],
    high: Tensors,
    nodes: Sequence[float],
    weights: Sequence[float],
    *,
    at_once: int,
) -> Tensors:
    """sum_s w_s dF/dx at low + a_s (high - low), a few nodes at a time.

    Args:
        gradient: dF/dx at points of so many nodes, one batch after another.
        low: baselines.
        high: inputs [B,...].
        nodes: a_s.
        weights: w_s, rounded to float32 as Captum does.
        at_once: nodes at a time.

    Returns:
        one tensor for each input, of its shape.
    """
    total: list[Tensor] = []
    for start in range(0, len(nodes), at_once):
        part = slice(start, start + at_once)
        at = tuple(p.detach().requires_grad_() for p in points(low, high, nodes[part]))
        steps = len(nodes[part])
        sums = [_weighed(g, weights[part], steps) for g in gradient(at, steps)]
        total = [t + f for t, f in zip(total, sums, strict=True)] if total else sums
    return tuple(total)


def overlapping(n: int, at_once: int) -> Iterator[slice]:
    """Parts of n nodes, each beginning with the last node of the one before."""
    start = 0
    while start < n - 1:
        stop = min(start + at_once, n)
        yield slice(start, stop)
        start = stop - 1


def _weighed(gradient: Tensor, weights: Sequence[float], steps: int) -> Tensor:
    w = torch.tensor(weights, dtype=torch.float32, device=gradient.device).view(steps, 1)
    table = gradient.contiguous().view(steps, -1) * w
    return table.sum(0).view(len(gradient) // steps, *gradient.shape[1:])
