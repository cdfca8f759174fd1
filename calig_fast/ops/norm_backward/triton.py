"""norm_backward in Triton: a program holds whole rows, so the means cost no second read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..model_sizes import WIDTH
from ..triton import Variant, language, launch, refusal, whole_rows


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, of rows that fit into registers."""
    return refusal(tensors, tensors[0].shape[1] if tensors[0].ndim == 2 else 0)


@triton.jit
def kernel(
    gradient,
    x,
    mean,
    deviation,
    weight,
    residual,
    out,
    rows,
    width,
    MEAN: tl.constexpr,
    WEIGHT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    mask = (row < rows)[:, None] & (column < width)
    here = row[:, None] * width + column
    g = tl.load(gradient + here, mask=mask, other=0).to(WIDE)
    if WEIGHT:
        g *= tl.load(weight + column, mask=column < width, other=0).to(WIDE)
    scale = tl.load(deviation + row, mask=row < rows, other=0).to(WIDE)[:, None]
    normed = tl.load(x + here, mask=mask, other=0).to(WIDE)
    if MEAN:
        normed -= tl.load(mean + row, mask=row < rows, other=0).to(WIDE)[:, None]
    normed *= scale
    # asked for before the sums are awaited
    dx = tl.load(residual + here, mask=mask, other=0).to(WIDE) if RESIDUAL else 0.0
    share = tl.sum(g, 1)[:, None] / width if MEAN else 0.0
    slope = tl.sum(g * normed, 1)[:, None] / width
    dx += scale * (g - share - normed * slope)
    tl.store(out + here, dx.to(out.dtype.element_ty), mask=mask)


def norm_backward(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor | None,
    deviation: Tensor,
    weight: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """One read of each input, one write."""
    rows, width = gradient.shape
    out = gradient.new_empty((rows, width))
    if out.numel():
        gradient = gradient.contiguous()
        launch(
            kernel,
            whole_rows(width),
            lambda meta: (triton.cdiv(rows, meta["ROWS"]),),
            gradient,
            x.contiguous(),
            gradient if mean is None else mean.contiguous(),
            deviation.contiguous(),
            gradient if weight is None else weight.contiguous(),
            gradient if residual is None else residual.contiguous(),
            out,
            rows,
            width,
            MEAN=mean is not None,
            WEIGHT=weight is not None,
            RESIDUAL=residual is not None,
            WIDE=language(gradient.dtype),
        )
    return out


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {"rows": "i32", "width": "i32"}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    wide, rows = {"WIDE": language(dtype)}, whole_rows(WIDTH)[0]
    yield "bare", {**wide, "MEAN": True, "WEIGHT": False, "RESIDUAL": False}, rows
    yield "weight, residual", {**wide, "MEAN": True, "WEIGHT": True, "RESIDUAL": True}, rows
    yield "RMS, weight, residual", {**wide, "MEAN": False, "WEIGHT": True, "RESIDUAL": True}, rows
