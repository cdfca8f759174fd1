"""Products with a block's weights: the same numbers whichever library makes them."""

from __future__ import annotations

import pytest
import torch

from calig_fast.encoder import Affine
from calig_fast.engine import product

ROWS = (0, 1, product.ONEDNN_ROWS - 1, product.ONEDNN_ROWS, product.ONEDNN_ROWS + 7)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("apart", [False, True], ids=["dense", "strided"])
def test_products_are_those_of_float64(rows: int, bias: bool, apart: bool) -> None:
    torch.manual_seed(0)
    a = Affine(torch.randn(24, 40), torch.randn(24) if bias else None)
    x, g = torch.randn(rows, 80)[:, :: 2 if apart else 1][:, :40], torch.randn(rows, 24)
    with torch.no_grad():
        up, down = product.affine(a, x), product.pulled(a, g)
    wide = x.double() @ a.weight.double().T + (0 if a.bias is None else a.bias.double())
    torch.testing.assert_close(up.double(), wide, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(down.double(), g.double() @ a.weight.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_onednn_gives_what_linear_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    a, x, g = Affine(torch.randn(24, 40), torch.randn(24)), torch.randn(600, 40), torch.randn(600, 24)
    with torch.no_grad():
        expected = torch.nn.functional.linear(x, a.weight, a.bias), g @ a.weight
        monkeypatch.setattr(product, "_by_onednn", lambda rows: True)
        found = product.affine(a, x), product.pulled(a, g)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_left_to_pytorch(dtype: torch.dtype) -> None:
    a = Affine(torch.randn(24, 40, dtype=dtype), torch.randn(24, dtype=dtype))
    x = torch.randn(600, 40, dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(product.affine(a, x), torch.nn.functional.linear(x, a.weight, a.bias))


def test_gradients_flow_where_they_are_recorded() -> None:
    a, x = Affine(torch.randn(24, 40), None), torch.randn(600, 40, requires_grad=True)
    product.affine(a, x).sum().backward()
    assert x.grad is not None
