"""Fixed quadrature rules on [0, 1], under the names Captum gave them, and the corrected trapezoid."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FIXED = (
    "gausslegendre",
    "riemann_left",
    "riemann_right",
    "riemann_middle",
    "riemann_trapezoid",
    "corrected_trapezoid",
)


def nodes_and_weights(rule: str, n: int) -> tuple[list[float], Tensor]:
    """Nodes and weights of a rule.

    `gausslegendre` and the `riemann_*` rules have n nodes, as in Captum; `corrected_trapezoid` has n intervals, so
    n + 1 nodes. The weights always sum to 1: Captum's `riemann_trapezoid` weighs by 1/n where 1/(n - 1) is right.

    Args:
        rule: one of `FIXED`.
        n: steps, at least 1.

    Returns:
        nodes, and weights float64 of the same length.

    Raises:
        ValueError: an unknown rule.
    """
    steps = np.arange(n)
    if rule == "gausslegendre":
        x, gauss = np.polynomial.legendre.leggauss(n)
        return ((x + 1) / 2).tolist(), torch.from_numpy(gauss / 2)
    if rule == "riemann_left":
        return (steps / n).tolist(), torch.full((n,), 1 / n, dtype=torch.float64)
    if rule == "riemann_right":
        return ((steps + 1) / n).tolist(), torch.full((n,), 1 / n, dtype=torch.float64)
    if rule == "riemann_middle":
        return ((steps + 0.5) / n).tolist(), torch.full((n,), 1 / n, dtype=torch.float64)
    if rule == "riemann_trapezoid":
        if n == 1:
            return [0.0], torch.ones(1, dtype=torch.float64)
        w = torch.full((n,), 1 / (n - 1), dtype=torch.float64)
        w[[0, -1]] /= 2
        return (steps / (n - 1)).tolist(), w
    if rule == "corrected_trapezoid":
        return (np.arange(n + 1) / n).tolist(), corrected_trapezoid(n)
    raise ValueError(f'quadrature: {rule!r} is not "auto" nor one of {FIXED}')


def corrected_trapezoid(m: int) -> Tensor:
    """Weights of the trapezoid on m intervals with Gregory's first-difference end correction, [m+1] float64.

    The end weights are 1/2 - 1/12, their neighbours 1 + 1/12, over m; m = 1 is the plain trapezoid.
    """
    w = torch.ones(m + 1, dtype=torch.float64)
    w[0] = w[-1] = 0.5
    if m > 1:
        w[0] -= 1 / 12
        w[-1] -= 1 / 12
        w[1] += 1 / 12
        w[-2] += 1 / 12
    return w / m
