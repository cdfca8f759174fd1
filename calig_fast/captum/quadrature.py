"""Captum's nodes and weights, rounded to float32 where Captum rounds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._utils.arguments import choice, integer

MOST, MOST_GAUSS = 1_000_000, 5_000  # a Gauss rule takes the eigenvalues of a matrix of n x n
METHODS = ("riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre")


def checked(n_steps: Any, method: Any, extra: int = 0) -> tuple[int, str]:
    """The steps and the rule, where there is such a rule.

    Args:
        n_steps: steps.
        method: the rule.
        extra: nodes it has beyond its steps.

    Raises:
        TypeError: steps that are no int.
        ValueError: an unknown rule, or too few steps for it, or too many.
    """
    rule = choice("method", method, METHODS)
    least = (1 if rule == "gausslegendre" else 2) - extra
    n_steps = int(n_steps) if isinstance(n_steps, bool) else n_steps  # as in Captum
    most = MOST_GAUSS if rule == "gausslegendre" else MOST
    return integer("n_steps", n_steps, least, most, mend=f'"{rule}" takes at least {least}'), rule


def nodes(method: str, n: int) -> list[float]:
    """The n nodes in [0, 1]; the nodes of the Riemann sums are computed from float32 numbers."""
    if method == "gausslegendre":
        gauss_nodes: list[float] = (0.5 * (1 + np.polynomial.legendre.leggauss(n)[0])).tolist()
        return gauss_nodes
    first, last = {
        "riemann_left": (0, 1 - 1 / n),
        "riemann_right": (1 / n, 1),
        "riemann_middle": (1 / (2 * n), 1 - 1 / (2 * n)),
        "riemann_trapezoid": (0, 1),
    }[method]
    return torch.linspace(first, last, n).tolist()


def weights(method: str, n: int) -> list[float]:
    """Their n weights. The trapezoid's weights add up to (n - 1) / n, which is Captum's choice, not the rule's."""
    if method == "gausslegendre":
        gauss_weights: list[float] = (0.5 * np.polynomial.legendre.leggauss(n)[1]).tolist()
        return gauss_weights
    ends = 1 / (2 * n) if method == "riemann_trapezoid" else 1 / n
    return [ends, *[1 / n] * (n - 2), ends]
