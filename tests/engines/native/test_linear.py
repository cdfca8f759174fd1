"""Products with a block's weights: the same numbers in pieces, and pieces of few sizes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from calig_fast import ops
from calig_fast.engines.native import linear as product
from calig_fast.model.encoder import Affine

needs_cpu = pytest.mark.skipif(ops.backends()["cpu"] is not None, reason=f"cpu: {ops.backends()['cpu']}")
ROWS = (0, 1, 3, product.TILE - 1, product.TILE, product.TILE + 1, 3 * product.TILE + 77)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("apart", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("around", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize(
    ("dtype", "backend"),
    [
        (torch.float32, "torch"),
        pytest.param(torch.float32, "cpu", marks=needs_cpu),
        pytest.param(torch.float64, "cpu", marks=needs_cpu),
        (torch.float64, "auto"),
        (torch.bfloat16, "auto"),
        (torch.float16, "auto"),
    ],
)
def test_products_are_as_near_as_pytorch_s(
    *, rows: int, bias: bool, apart: bool, around: bool, dtype: torch.dtype, backend: str
) -> None:
    torch.manual_seed(0)
    a = Affine(torch.randn(24, 40).to(dtype), torch.randn(24).to(dtype) if bias else None)
    x, g = torch.randn(rows, 80).to(dtype)[:, :: 2 if apart else 1][:, :40], torch.randn(rows, 24).to(dtype)
    over, under = (torch.randn(rows, width).to(dtype) if around else None for width in (24, 40))
    with torch.no_grad():
        found = (
            product.affine(a, x, over, backend),
            product.linear_backward(a, g, None if under is None else under.clone(), backend),
        )
        plain = torch.nn.functional.linear(x, a.weight, a.bias), g @ a.weight
        plain = tuple(p if r is None else p + r for p, r in zip(plain, (over, under), strict=True))
    wide = x.double() @ a.weight.double().T + (0 if a.bias is None else a.bias.double()), g.double() @ a.weight.double()
    wide = tuple(w if r is None else w + r.double() for w, r in zip(wide, (over, under), strict=True))
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


def test_half_precision_meets_few_sizes_whatever_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    a = Affine(torch.randn(8, 8).bfloat16(), torch.randn(8).bfloat16())
    tile = 8
    monkeypatch.setattr(product, "TILE", tile)
    with torch.no_grad(), Sizes() as sizes:
        for rows in range(1, 4 * tile + 1):
            x = torch.zeros(rows, 8, dtype=torch.bfloat16)
            product.affine(a, x)
            product.linear_backward(a, x)
    assert sizes.seen == {1, 2, 4, 8}


@needs_cpu
@pytest.mark.parametrize(
    ("isa", "intel", "mkl", "backend", "ours"),
    [
        ("avx512", False, True, "auto", True),
        ("avx512", True, True, "auto", False),
        ("avx512", False, False, "auto", False),
        ("avx2", False, True, "auto", False),
        ("avx512", False, True, "torch", False),
        ("avx512", False, True, "triton", False),
        ("avx2", True, False, "cpu", True),
    ],
)
def test_our_own_product_is_taken_where_mkl_s_is_narrow(
    *, isa: str, intel: bool, mkl: bool, backend: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(build_info=lambda: {"isa": isa, "intel": intel})
    monkeypatch.setattr(ops, "extension", lambda: SimpleNamespace(module=module))
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    monkeypatch.setattr(product, "_mkl_is_narrow", product._mkl_is_narrow.__wrapped__)
    called = []
    monkeypatch.setattr(ops, "linear", lambda x, *args, **options: called.append(x) or x)
    a, x = Affine(torch.randn(40, 40), None), torch.randn(3, 40)
    with torch.no_grad():
        product.affine(a, x, backend=backend)
        product.linear_backward(a, x, backend=backend)
        product.affine(Affine(a.weight.bfloat16(), None), x.bfloat16(), backend="auto")
    assert len(called) == 2 * ours


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_flow_where_they_are_recorded(dtype: torch.dtype) -> None:
    a, x = Affine(torch.randn(24, 40).to(dtype), None), torch.randn(60, 40).to(dtype).requires_grad_()
    product.affine(a, x).sum().backward()
    assert x.grad is not None
    assert x.grad.any()
