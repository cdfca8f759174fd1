"""add_norm in Triton: a program holds whole rows, so the mean and the deviation cost no second read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..model_sizes import WIDTH
from ..triton import Variant, computed_in, language, launch, refusal, whole_rows


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, of rows that fit into registers."""
    return refusal(tensors, tensors[0].shape[1] if tensors[0].ndim == 2 else 0)


@triton.jit
def kernel(
    x,
    residual,
    weight,
    bias,
    out,
    total,
    mean,
    deviation,
    rows,
    width,
    EPS: tl.constexpr,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    mask = (row < rows)[:, None] & (column < width)
    here = row[:, None] * width + column
    y = tl.load(x + here, mask=mask, other=0).to(WIDE) + tl.load(residual + here, mask=mask, other=0).to(WIDE)
    tl.store(total + here, y.to(total.dtype.element_ty), mask=mask)
    level = tl.sum(y, 1) / width
    y = tl.where(mask, y - level[:, None], 0)
    rest = tl.sum(y, 1) / width  # of the mean, which is rounded
    scale = 1 / tl.sqrt(tl.sum(y * y, 1) / width - rest * rest + EPS)
    tl.store(mean + row, level, mask=row < rows)
    tl.store(deviation + row, scale, mask=row < rows)
    y = (y - rest[:, None]) * scale[:, None]
    if WEIGHT:
        y *= tl.load(weight + column, mask=column < width, other=0).to(WIDE)
    if BIAS:
        y += tl.load(bias + column, mask=column < width, other=0).to(WIDE)
    tl.store(out + here, y.to(out.dtype.element_ty), mask=mask)


def add_norm(
    x: Tensor, residual: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One read of each input, one write of each output."""
    rows, width = x.shape
    out, total = x.new_empty((rows, width)), x.new_empty((rows, width))
    mean, deviation = (x.new_empty((rows, 1), dtype=computed_in(x.dtype)) for _ in range(2))
    if out.numel():
        x = x.contiguous()
        launch(
            kernel,
            whole_rows(width),
            lambda meta: (triton.cdiv(rows, meta["ROWS"]),),
            x,
            residual.contiguous(),
            x if weight is None else weight.contiguous(),
            x if bias is None else bias.contiguous(),
            out,
            total,
            mean,
            deviation,
            rows,
            width,
            EPS=eps,
            WEIGHT=weight is not None,
            BIAS=bias is not None,
            WIDE=language(x.dtype),
        )
    return out, total, mean, deviation


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {**dict.fromkeys(("mean", "deviation"), "*sums"), "rows": "i32", "width": "i32"}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    wide, rows = {"WIDE": language(dtype), "EPS": 1e-12}, whole_rows(WIDTH)[0]
    yield "bare", {**wide, "WEIGHT": False, "BIAS": False}, rows
    yield "weight, bias", {**wide, "WEIGHT": True, "BIAS": True}, rows
