"""The C++ attention where its tiles, panels and blocks end, and what it does with numbers that are none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from calig_fast import ops
from calig_fast.ops.attention_backward import spec as backward
from calig_fast.ops.attention_forward import spec as forward

CPU = ops.backends()["cpu"]
pytestmark = pytest.mark.skipif(CPU is not None, reason=f"cpu: {CPU}")

LENGTHS = (1, 8, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 257)
FLOOR, EPS = 4, torch.finfo(torch.float32).eps


def packed(lengths: tuple[int, ...], heads: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """qkv, a gradient and offsets."""
    generator = torch.Generator().manual_seed(0)
    rows = sum(lengths)
    qkv = torch.randn(rows, 3, heads, size, generator=generator)
    gradient = torch.randn(rows, heads, size, generator=generator)
    return qkv, gradient, torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])


@pytest.mark.parametrize("size", [1, 16, 24, 32, 64, 80, 128])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("side", [0, 257, 260])
def test_every_length_about_a_tile_keeps_the_rule(size: int, positive: bool, side: int) -> None:
    bias = torch.randn(2, side, side, generator=torch.Generator().manual_seed(1)) if side else None
    keeps_the_rule(size, positive, bias, None)


@pytest.mark.parametrize("size", [1, 24, 64])
@pytest.mark.parametrize(("side", "biased"), [(257, False), (260, True)])
def test_relative_terms_of_every_length_keep_the_rule(size: int, side: int, biased: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    relative = torch.randn(2, 2, 2 * side - 1, size, generator=generator)
    bias = torch.randn(2, side, side, generator=generator) if biased else None
    keeps_the_rule(size, False, bias, relative)


def keeps_the_rule(size: int, positive: bool, bias: Tensor | None, relative: Tensor | None) -> None:
    """That the compiled attention's error is bounded by plain PyTorch's, segment by segment."""
    qkv, gradient, offsets = packed(LENGTHS, 2, size)
    where, longest = (offsets, max(LENGTHS), size**-0.5), len(LENGTHS)
    terms = bias, relative
    out, lse = ops.attention_forward(qkv, *where, *terms, backend="cpu")
    args = gradient, qkv, out, lse, *where, longest, positive, *terms
    results = {
        "cpu": (out, lse, *ops.attention_backward(*args, backend="cpu")),
        "torch": (
            *ops.attention_forward(qkv, *where, *terms, backend="torch"),
            *ops.attention_backward(*args, backend="torch"),
        ),
    }
    exact = *forward.exact(qkv, *where, *terms), *backward.exact(*args)
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        for i, wanted in enumerate(exact):
            here = (slice(None), slice(first, last)) if i == 1 else slice(first, last)
            s = offsets.tolist().index(first)
            mine, plain, true = (x[s] if i == 3 else x[here] for x in (results["cpu"][i], results["torch"][i], wanted))
            off, allowed = ((x.double() - true).abs().max() for x in (mine, plain))
            # of a backward's exp(z - lse) the exponent was rounded in z and in lse, at their size
            units = FLOOR + (float(lse[:, first:last].abs().max()) if i >= 2 else 0.0)
            floor = units * EPS * wanted.abs().max()
            if i == 2:  # dP and the sum of g out are equal in a lone row, but for the rounding of their terms
                terms = (gradient * qkv[:, 2])[here].abs().sum(-1).max()
                floor += EPS * terms * where[2] * qkv[here, :2].abs().max()
            assert off <= 2 * allowed + floor, (i, last - first, off, allowed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_nan_stays_in_its_segment_and_head(dtype: torch.dtype) -> None:
    qkv, gradient, offsets = packed((40, 150, 33), 3, 32)
    qkv, gradient = qkv.to(dtype), gradient.to(dtype)
    qkv[60, 1, 1, 5] = torch.nan
    out, lse = ops.attention_forward(qkv, offsets, 150, 0.2, backend="cpu")
    found, _ = ops.attention_backward(gradient, qkv, out, lse, offsets, 150, 0.2, backend="cpu")
    touched = torch.zeros(223, 3, dtype=torch.bool)
    touched[40:190, 1] = True
    assert torch.equal(out.isnan().all(-1), touched)
    assert torch.equal(out.isnan().any(-1), touched)
    assert torch.equal(lse.isnan().T, touched)
    assert torch.equal(found.isnan().any(-1).any(1), touched)


def test_large_logits_neither_overflow_nor_lose_the_greatest() -> None:
    qkv, _, offsets = packed((200,), 1, 16)
    qkv[:, :2] *= 60
    out, lse = ops.attention_forward(qkv, offsets, 200, 1.0, backend="cpu")
    wanted, sums = forward.exact(qkv, offsets, 200, 1.0)
    torch.testing.assert_close(out.double(), wanted, rtol=0, atol=0.05)
    torch.testing.assert_close(lse.double(), sums, rtol=1e-5, atol=0)


def test_the_map_does_not_depend_on_how_many_are_asked_for() -> None:
    qkv, gradient, offsets = packed((70, 33, 129), 4, 32)
    out, lse = ops.attention_forward(qkv, offsets, 129, 0.2, backend="cpu")
    args = gradient, qkv, out, lse, offsets, 129, 0.2
    none, one, all_of_them = (ops.attention_backward(*args, maps, backend="cpu") for maps in (0, 1, 3))
    assert torch.equal(none[0], all_of_them[0])
    assert torch.equal(one[1][0], all_of_them[1][0])
    assert all_of_them[1][1, 33:].count_nonzero() == 0
    assert all_of_them[1][1, :, 33:].count_nonzero() == 0
