"""interpolate_path in Triton: a program holds a tile of both ends and writes that tile of every point."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton import Variant, computed_in, language, launch, plan, refusal, segments_of

CONFIGS = tuple(triton.Config({"ROWS": rows, "COLUMNS": 128}, num_warps=4) for rows in (16, 8, 32))


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU."""
    return refusal(tensors)


@triton.jit
def kernel(
    start,
    end,
    points,
    owner,
    offsets,
    begins,
    firsts,
    nodes,
    tokens,
    width,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    across = tl.cdiv(width, COLUMNS)
    token = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = ((tl.program_id(0) % across) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    real = token < tokens
    place, stop, inside = segments_of(token, real, owner, offsets, begins)
    mask = real[:, None] & (column < width)
    low = tl.load(start + token[:, None] * width + column, mask=mask, other=0).to(WIDE)
    high = tl.load(end + token[:, None] * width + column, mask=mask, other=0).to(WIDE)
    for _ in range(tl.max(stop - place, 0).to(tl.int32)):
        live = place < stop
        a = tl.load(nodes + place, mask=live, other=0)[:, None]
        row = tl.load(firsts + place, mask=live, other=0) + inside
        point = tl.where(a < 0.5, low + a * (high - low), high - (1 - a) * (high - low))
        # an infinite end would be nan
        point = tl.where(a == 0, low, tl.where(a == 1, high, point))
        out = points + row[:, None] * width + column
        tl.store(out, point.to(points.dtype.element_ty), mask=mask & live[:, None])
        place += 1


def interpolate_path(
    start: Tensor,
    end: Tensor,
    offsets: Tensor,
    inputs: Tensor,
    nodes: Tensor,
    rows: int | None = None,
    before: Tensor | None = None,
) -> Tensor:
    """Each end is read once, each point written once."""
    (tokens, width), dtype = start.shape, start.dtype
    # the number of rows has to be known here
    count = int(offsets.diff()[inputs].sum()) if rows is None else rows
    first = start[:0] if before is None else before
    joined = first.new_empty((len(first) + count, width))
    joined[: len(first)] = first
    points = joined[len(first) :]
    if points.numel():
        where = plan(offsets, inputs, nodes, tokens, computed_in(dtype))
        launch(
            kernel,
            CONFIGS,
            lambda meta: (triton.cdiv(tokens, meta["ROWS"]) * triton.cdiv(width, meta["COLUMNS"]),),
            start.contiguous(),
            end.contiguous(),
            points,
            *where,
            tokens,
            width,
            WIDE=language(dtype),
        )
    return joined


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {
    "owner": "*i64",
    "offsets": "*i64",
    "begins": "*i64",
    "firsts": "*i64",
    "nodes": "*sums",
    "tokens": "i32",
    "width": "i32",
}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    yield "", {"WIDE": language(dtype)}, CONFIGS[0]
