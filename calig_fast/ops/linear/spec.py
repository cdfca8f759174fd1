"""Specification of linear: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_same_device, check_tensor
from ..samples import Case, Layout, numbers, strided

SCHEMA = "(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None, bool backward=False) -> Tensor"
DTYPES = (torch.float32, torch.float64)
# In float64 plain PyTorch makes the exact value's own rounding errors, so that its error is 0 and twice it allows none.
# In the cases of 400 terms this is 6.5 eps off, PyTorch's own 5.8.
FLOORS = {torch.float64: 16}


def check(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, backward: bool) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("x", x, ["R", "K"], DTYPES)
    (rows, length), dtype = x.shape, x.dtype
    tensors = {"x": x, "weight": check_tensor("weight", weight, [length, "N"] if backward else ["N", length], [dtype])}
    columns = weight.shape[1 if backward else 0]
    if bias is not None:
        tensors["bias"] = check_tensor("bias", bias, [columns], [dtype])
    if residual is not None:
        tensors["residual"] = check_tensor("residual", residual, [rows, columns], [dtype])
    check_same_device(tensors)


def fake(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, backward: bool = False
) -> Tensor:
    """The result's shape and dtype."""
    return x.new_empty((x.shape[0], weight.shape[1 if backward else 0]))


def exact(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, backward: bool = False
) -> tuple[Tensor]:
    """The formula in float64."""
    product = x.double() @ (weight if backward else weight.T).double()
    product = product if bias is None else product + bias.double()
    return (product if residual is None else product + residual.double(),)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems: sums and widths below, at and beside the sizes of a vector, a panel and a block."""
    cases = []
    for name, rows in (("one row", 1), ("ragged", 37), ("no rows", 0), ("many rows", 1037)):
        for length, columns in ((1, 1), (7, 19), (64, 48), (131, 100), (400, 32), (0, 5), (8, 0)):
            x, residual, bias = (
                numbers(shape, dtype, seed)
                for seed, shape in enumerate([(rows, length), (rows, columns), (columns,)], start=1)
            )
            for backward in (False, True):
                weight = numbers((length, columns) if backward else (columns, length), dtype, 4)
                where = f"{name}, {length} to {columns}{', backward' if backward else ''}"
                cases.append(Case(where, (x, weight, bias, residual, backward)))
                cases.append(Case(f"{where}, bare", (x, weight, None, None, backward)))
                cases.append(Case(f"{where}, bias", (x, weight, bias, None, backward)))
                apart = tuple(map(strided, (x, weight)))
                cases.append(Case(f"{where}, strided", (*apart, None, strided(residual), backward)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    rows, width = layout.rows, layout.width
    return torch.randn(rows, width), torch.randn(2 * width, width), torch.randn(2 * width)
