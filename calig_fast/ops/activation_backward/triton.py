"""activation_backward in Triton: element by element, the two halves of a gated one together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton import AMD, Variant, language, launch, refusal
from .spec import KINDS


def tiles(amd: bool = AMD) -> tuple[triton.Config, ...]:
    """Rows and columns of a program; the first leaves each thread of a warp (AMD's are of 64) one 128-bit access."""
    rows = (4, 2, 8) if amd else (2, 4, 8)
    return tuple(triton.Config({"ROWS": r, "COLUMNS": 512}, num_warps=4) for r in rows)


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU."""
    return refusal(tensors)


@triton.jit
def _sigmoids(z):
    """The sigmoids of z and -z, each exact where it is near 0; no exponential overflows."""
    small = tl.exp(-tl.abs(z))
    near_one = 1 / (1 + small)
    near_zero = small * near_one
    return tl.where(z < 0, near_zero, near_one), tl.where(z < 0, near_one, near_zero)


@triton.jit
def _value_and_slope(u, KIND: tl.constexpr):
    """f(u) and f'(u); infinities and nan end as in PyTorch's formulas."""
    if KIND == "relu":
        value = tl.where(u <= 0, 0, u)
        slope = tl.where(u <= 0, 0.0, 1.0)
    elif KIND == "relu_squared":
        value = tl.where(u <= 0, 0, u * u)
        slope = tl.where(u <= 0, 0.0, 2 * u)
    elif KIND == "gelu":
        below = 0.5 * (1 + tl.math.erf(u * 0.7071067811865476))
        value = u * below
        slope = below + u * tl.exp(-0.5 * u * u) * 0.3989422804014327
    elif KIND == "gelu_tanh":  # (1 + tanh(z)) / 2 is the sigmoid of 2 z
        s, other = _sigmoids(1.5957691216057308 * (u + 0.044715 * u * u * u))
        value = u * s
        slope = s + u * (s * other) * (1.5957691216057308 * (1 + 0.134145 * u * u))
    elif KIND == "quick_gelu":
        s, other = _sigmoids(1.702 * u)
        value = u * s
        slope = s * (1 + 1.702 * u * other)
    else:
        s, other = _sigmoids(u)
        value = u * s
        slope = s * (1 + u * other)
    return value, slope


@triton.jit
def kernel(
    gradient,
    inner,
    out,
    rows,
    width,
    KIND: tl.constexpr,
    GATED: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    across = tl.cdiv(width, COLUMNS)
    row = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = ((tl.program_id(0) % across) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    mask = (row < rows)[:, None] & (column < width)
    g = tl.load(gradient + row[:, None] * width + column, mask=mask, other=0).to(WIDE)
    here = row[:, None] * width * (2 if GATED else 1) + column
    value, slope = _value_and_slope(tl.load(inner + here, mask=mask, other=0).to(WIDE), KIND)
    if GATED:
        other = tl.load(inner + here + width, mask=mask, other=0).to(WIDE)
        tl.store(out + here + width, (g * value).to(out.dtype.element_ty), mask=mask)
        g *= other
    # a relu's zero slope ends an infinite gradient too
    product = g * slope
    inner_gradient = tl.where(slope == 0, 0.0, product) if KIND == "relu" or KIND == "relu_squared" else product
    tl.store(out + here, inner_gradient.to(out.dtype.element_ty), mask=mask)


def activation_backward(gradient: Tensor, inner: Tensor, kind: str, gated: bool = False) -> Tensor:
    """One read of each input, one write."""
    rows, width = gradient.shape
    out = inner.new_empty(inner.shape)
    if out.numel():
        launch(
            kernel,
            tiles(),
            lambda meta: (triton.cdiv(rows, meta["ROWS"]) * triton.cdiv(width, meta["COLUMNS"]),),
            gradient.contiguous(),
            inner.contiguous(),
            out,
            rows,
            width,
            KIND=kind,
            GATED=gated,
            WIDE=language(gradient.dtype),
        )
    return out


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {"rows": "i32", "width": "i32"}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    for kind in KINDS:
        for gated in (False, True):
            constants = {"WIDE": language(dtype), "KIND": kind, "GATED": gated}
            yield f"{kind}{', gated' if gated else ''}", constants, tiles(amd)[0]
