"""Specification of add_norm: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_same_device, check_tensor
from ..samples import Case, Layout, numbers, strided

SCHEMA = (
    "(Tensor x, Tensor residual, Tensor? weight=None, Tensor? bias=None, float eps=1e-5)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check(x: Tensor, residual: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("x", x, ["R", "D"], DTYPES)
    tensors = {"x": x, "residual": check_tensor("residual", residual, list(x.shape), [x.dtype])}
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            tensors[name] = check_tensor(name, tensor, [x.shape[1]], [x.dtype])
    check_same_device(tensors)


def fake(
    x: Tensor, residual: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The results' shapes and dtypes."""
    wide = torch.promote_types(x.dtype, torch.float32)
    mean, deviation = (x.new_empty((x.shape[0], 1), dtype=wide) for _ in range(2))
    return x.new_empty(x.shape), x.new_empty(x.shape), mean, deviation


def exact(
    x: Tensor, residual: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The formula in float64."""
    total = x.double() + residual.double()
    mean = total.mean(-1, keepdim=True)
    deviation = ((total - mean).square().mean(-1, keepdim=True) + eps).rsqrt()
    out = (total - mean) * deviation
    out = out if weight is None else out * weight.double()
    return out if bias is None else out + bias.double(), total, mean, deviation


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, rows in (("one row", 1), ("ragged", 37), ("no rows", 0)):
        for width in (7, 64, 131, 1):
            # means that are not what rounding leaves of a sum
            x, residual = numbers((rows, width), dtype, 1), numbers((rows, width), dtype, 2) + 10
            weight, bias = (numbers((width,), dtype, seed) for seed in (3, 4))
            where = f"{name}, D {width}"
            cases.append(Case(where, (x, residual, weight, bias, 1e-5)))
            cases.append(Case(f"{where}, bare", (x, residual, None, None, 1e-12)))
            cases.append(Case(f"{where}, weight", (x, residual, weight, None, 1e-3)))
            cases.append(Case(f"{where}, bias", (x, residual, None, bias, 1.0)))
            apart = tuple(map(strided, (x, residual, weight, bias)))
            cases.append(Case(f"{where}, strided", (*apart, 1e-5)))
            # a mean beside which the deviation is little
            cases.append(Case(f"{where}, shifted", (x, residual + 300, weight, bias, 1e-5)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    rows, width = layout.rows, layout.width
    return (*torch.randn(2, rows, width), torch.randn(width), torch.randn(width), 1e-5)
