"""Norms of rows and their gradients against autograd."""

import pytest
import torch

from calig_fast.engines.native.norm import norm, norm_vjp
from calig_fast.model.encoder import Norm


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("rms", [True, False])
def test_a_norm_and_its_gradient(rms, weighted, backend):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(7, 12, generator=g, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(12, generator=g, dtype=torch.float64) if weighted else None
    n = Norm(weight, None, 1e-3, rms)
    form = torch.nn.functional.rms_norm if rms else torch.nn.functional.layer_norm
    want = form(x, (12,), weight, eps=1e-3)
    upstream, residual = torch.randn(2, 7, 12, generator=g, dtype=torch.float64)
    slope = torch.autograd.grad(want, x, upstream)[0]
    out, saved = norm(n, x.detach())
    torch.testing.assert_close(out, want.detach(), rtol=1e-12, atol=1e-12)
    for more in (None, residual):
        found = norm_vjp(n, upstream, saved, more, backend)
        torch.testing.assert_close(found, slope if more is None else slope + more, rtol=1e-12, atol=1e-12)


def test_no_norm_leaves_rows_as_they_are():
    x = torch.randn(3, 4)
    out, saved = norm(None, x)
    assert out is x
    assert norm_vjp(None, x, saved, None, "auto") is x
    assert torch.equal(norm_vjp(None, x, saved, x, "auto"), 2 * x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_rms_norm_of_16_bits_is_computed_in_float32(dtype):
    x = 300 * torch.randn(5, 64, generator=torch.Generator().manual_seed(0))  # squares leave float16
    out, saved = norm(Norm(None, None, 1e-6, rms=True), x.to(dtype))
    wide = x.to(dtype).float()
    assert saved[2].dtype == torch.float32
    assert torch.equal(out, (wide * wide.square().mean(-1, keepdim=True).add(1e-6).rsqrt()).to(dtype))
