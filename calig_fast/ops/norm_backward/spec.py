"""Specification of norm_backward: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_same_device, check_tensor
from ..samples import Case, Layout, numbers, strided

SCHEMA = (
    "(Tensor gradient, Tensor x, Tensor? mean, Tensor deviation, Tensor? weight=None, Tensor? residual=None) -> Tensor"
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None,
    residual: Tensor | None,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("gradient", gradient, ["R", "D"], DTYPES)
    (rows, width), dtype = gradient.shape, gradient.dtype
    check_tensor("x", x, [rows, width], [dtype])
    statistics = [dtype, torch.float32] if dtype.itemsize == 2 else [dtype]
    tensors = {"gradient": gradient, "x": x}
    if mean is not None:
        tensors["mean"] = check_tensor("mean", mean, [rows, 1], statistics)
        statistics = [mean.dtype]
    tensors["deviation"] = check_tensor("deviation", deviation, [rows, 1], statistics)
    if weight is not None:
        tensors["weight"] = check_tensor("weight", weight, [width], [dtype])
    if residual is not None:
        tensors["residual"] = check_tensor("residual", residual, [rows, width], [dtype])
    check_same_device(tensors)


def fake(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """The result's shape and dtype."""
    return gradient.new_empty(gradient.shape)


def exact(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
) -> tuple[Tensor]:
    """The formula in float64."""
    g, s = gradient.double(), deviation.double()
    g = g if weight is None else g * weight.double()
    normed = (x.double() if mean is None else x.double() - mean.double()) * s
    dx = g if mean is None else g - g.mean(-1, keepdim=True)
    dx = s * (dx - normed * (g * normed).mean(-1, keepdim=True))
    return (dx if residual is None else dx + residual.double(),)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, rows in (("one row", 1), ("ragged", 37), ("no rows", 0)):
        for width in (1, 7, 64, 131):
            g, x, residual = (numbers((rows, width), dtype, seed) for seed in (1, 2, 3))
            # not quite the row's own, and not by little: the gradient of a row one wide would be what rounding leaves
            mean = x.double().mean(-1, keepdim=True) + 1
            deviation = ((x.double() - mean).square().mean(-1, keepdim=True) + 1).rsqrt()
            weight = numbers((width,), dtype, 4)
            statistics = mean.to(dtype), deviation.to(dtype)
            wide = torch.promote_types(dtype, torch.float32)
            where = f"{name}, D {width}"
            cases.append(Case(where, (g, x, *statistics, weight, residual)))
            cases.append(Case(f"{where}, bare", (g, x, mean.to(wide), deviation.to(wide), None, None)))
            cases.append(Case(f"{where}, residual", (g, x, *statistics, None, residual)))
            apart = tuple(map(strided, (g, x, mean.to(wide), deviation.to(wide), weight)))
            cases.append(Case(f"{where}, weight, strided", (*apart, None)))
            cases.append(Case(f"{where}, strided", (*apart, strided(residual))))
            root = (x.double().square().mean(-1, keepdim=True) + 1).rsqrt()
            cases.append(Case(f"{where}, RMS", (g, x, None, root.to(dtype), weight, residual)))
            cases.append(Case(f"{where}, RMS, bare", (g, x, None, root.to(wide), None, None)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    rows, width = layout.rows, layout.width
    statistics = torch.randn(rows, 1), torch.rand(rows, 1) + 0.5
    return (*torch.randn(2, rows, width), *statistics, torch.randn(width), torch.randn(rows, width))
