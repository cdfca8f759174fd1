"""A (.) dF/dA of any q, k and v equals autograd's through the map itself, and its sums need no map."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from calig_fast import ops
from calig_fast.ops import attention_gradient_map

B, H, T, E = 3, 4, 9, 8
MASK = torch.tensor([[1] * 9, [0, 1, 1, 0, 1, 0, 0, 0, 1], [0] * 8 + [1]], dtype=torch.bool)
BACKENDS = [name for name, reason in ops.backends().items() if reason is None and name in ("torch", "cpu")]


def numbers(groups: int = H, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(B, n, T, E, generator=g, dtype=torch.float64).to(dtype) for n in (H, groups, groups, H)]


def by_autograd(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, mask: Tensor | None = None, *, scale: float = E**-0.5
) -> Tensor:
    """[B,H,T,T], through the map itself; every head's."""
    k, v = (t.repeat_interleave(H // t.shape[1], 1) for t in (k, v))
    z = scale * q @ k.mT
    real = torch.ones(B, T, dtype=torch.bool) if mask is None else mask
    a = z.masked_fill(~real[:, None, None], -torch.inf).softmax(-1).requires_grad_()
    (slope,) = torch.autograd.grad(a @ v, a, dout)
    return (a * slope * real[:, None, :, None]).detach()


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("groups", [H, 2, 1])
@pytest.mark.parametrize("mask", [None, MASK])
def test_it_is_autograds(mask: Tensor | None, groups: int, backend: str) -> None:
    args = numbers(groups)
    wanted = by_autograd(*args, mask, scale=0.3)
    options: dict[str, Any] = {"scale": 0.3, "backend": backend}
    torch.testing.assert_close(attention_gradient_map(*args, mask, **options), wanted.mean(1))
    found = attention_gradient_map(*args, mask, positive=True, **options)
    torch.testing.assert_close(found, wanted.clamp_min(0).mean(1))
    for of, axis in (("rows", 2), ("columns", 1)):
        found = attention_gradient_map(*args, mask, of=of, **options)
        torch.testing.assert_close(found, wanted.mean(1).sum(axis))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_are_summed_in_float32(dtype: torch.dtype) -> None:
    args = numbers(dtype=dtype)
    wanted = by_autograd(*(t.double() for t in args)).mean(1)
    for of, exact in (("map", wanted), ("rows", wanted.sum(2)), ("columns", wanted.sum(1))):
        found = attention_gradient_map(*args, of=of)
        assert found.dtype == torch.float32
        assert (found.double() - exact).abs().max() <= 16 * torch.finfo(dtype).eps * exact.abs().max()


def test_a_hook_of_scaled_dot_product_attention() -> None:
    q, k, v, weight = (t.requires_grad_() for t in numbers())
    maps: list[Tensor] = []
    out = functional.scaled_dot_product_attention(q, k, v)
    out.register_hook(lambda dout: maps.append(attention_gradient_map(q, k, v, dout)))
    (out.tanh() * weight).sum().backward()
    wanted = by_autograd(q.detach(), k.detach(), v.detach(), (weight * (1 - out.tanh() ** 2)).detach())
    torch.testing.assert_close(maps[0], wanted.mean(1))
    assert not maps[0].requires_grad


class Largest(TorchDispatchMode):
    """The most numbers of a tensor that an operator gives."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.numbers = max(self.numbers, *(t.numel() for t in tree_leaves(found) if isinstance(t, Tensor)), 0)
        return found


@pytest.mark.skipif("cpu" not in BACKENDS, reason="plain PyTorch makes the map")
@pytest.mark.parametrize("of", ["rows", "columns"])
def test_a_sum_makes_no_map(of: Any) -> None:
    tokens = 600
    args = [torch.randn(1, 1, tokens, 4) for _ in range(4)]
    with Largest() as largest:
        attention_gradient_map(*args, of=of)
    assert 0 < largest.numbers <= 3 * tokens * 4


def test_empty_batches() -> None:
    args = [torch.zeros(0, H, T, E)] * 4
    assert attention_gradient_map(*args).shape == (0, T, T)
    assert attention_gradient_map(*args, of="rows").shape == (0, T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": torch.zeros(B, 3, T, E)}, "k: expected a number of heads that divides the 4 of q, got 3"),
        ({"k": torch.zeros(B, H, T + 1, E)}, "k: expected"),
        ({"dout": torch.zeros(B, H, T)}, "dout: expected"),
        ({"mask": torch.ones(B, T + 1, dtype=torch.bool)}, "mask: expected"),
        ({"of": "heads"}, "of: expected"),
        ({"of": "rows", "positive": True}, "positive: the positive part has no sum without its map"),
        ({"backend": "gpu"}, "backend: expected one of"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    args = dict(zip(("q", "k", "v", "dout"), numbers(dtype=torch.float32), strict=True))
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_gradient_map(**{**args, **change})


@pytest.mark.parametrize("change", [{"v": torch.zeros(B, H, T, E).double()}, {"mask": torch.ones(B, T)}])
def test_wrong_dtypes_are_named(change: dict[str, Any]) -> None:
    args = dict(zip(("q", "k", "v", "dout"), numbers(dtype=torch.float32), strict=True))
    with pytest.raises(TypeError, match=f"{next(iter(change))}: expected"):
        attention_gradient_map(**{**args, **change})
