"""Products with a block's weights: the same numbers in pieces, and pieces of few sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from calig_fast.encoder import Affine
from calig_fast.engine import product

ROWS = (0, 1, 3, product.TILE - 1, product.TILE, product.TILE + 1, 3 * product.TILE + 77)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("apart", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_products_are_as_near_as_pytorch_s(rows: int, bias: bool, apart: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a = Affine(torch.randn(24, 40).to(dtype), torch.randn(24).to(dtype) if bias else None)
    x, g = torch.randn(rows, 80).to(dtype)[:, :: 2 if apart else 1][:, :40], torch.randn(rows, 24).to(dtype)
    with torch.no_grad():
        found = product.affine(a, x), product.pulled(a, g)
        plain = torch.nn.functional.linear(x, a.weight, a.bias), g @ a.weight
    wide = x.double() @ a.weight.double().T + (0 if a.bias is None else a.bias.double()), g.double() @ a.weight.double()
    for ours, theirs, exact in zip(found, plain, wide, strict=True):
        assert ours.dtype == dtype
        assert ours.shape == exact.shape
        floor = 4 * torch.finfo(dtype).eps * float(exact.abs().max()) if rows else 0.0
        assert torch.all((ours - exact).abs() <= 2 * (theirs - exact).abs().max() + floor if rows else exact == 0)


class Sizes(TorchDispatchMode):
    """Remembers how many rows the products had."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.seen.add(args[-2].shape[0])
        return func(*args, **(kwargs or {}))


def test_half_precision_meets_few_sizes_whatever_the_rows() -> None:
    a = Affine(torch.randn(8, 8).bfloat16(), torch.randn(8).bfloat16())
    most = 4 * product.TILE
    with torch.no_grad(), Sizes() as sizes:
        for rows in range(1, most + 1):
            x = torch.zeros(rows, 8, dtype=torch.bfloat16)
            product.affine(a, x)
            product.pulled(a, x)
    whole = {product.TILE * n for n in range(1, 5)}
    assert sizes.seen == whole | {2**n for n in range(7)}


def test_gradients_flow_where_they_are_recorded() -> None:
    a, x = Affine(torch.randn(24, 40).bfloat16(), None), torch.randn(60, 40).bfloat16().requires_grad_()
    product.affine(a, x).sum().backward()
    assert x.grad is not None
    assert x.grad.any()
