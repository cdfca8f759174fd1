"""attention_gradient in Triton: one kernel, which attention_backward makes its maps with too."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ..attention_forward.triton import (
    added,
    band,
    bias_of,
    inside,
    product,
    relative_logits,
    rows_of,
    sizes,
    supports,
    table_rows,
    tiles,
)
from ..triton import launch

__all__ = ["attention_gradient", "supports"]


@triton.jit
def segment_of(offsets, longest, HELD: tl.constexpr):
    """First row and rows of a program's segment, and where in it the program's tile begins."""
    across = tl.cdiv(longest, HELD)
    segment = tl.program_id(0) // across
    first = tl.load(offsets + segment)
    return first, (tl.load(offsets + segment + 1) - first).to(tl.int32), (tl.program_id(0) % across) * HELD


@triton.jit
def maps_kernel(
    gradient,
    qkv,
    lse,
    offsets,
    kept,
    rows,
    width,
    longest,
    heads,
    scale,
    bias,
    side,
    relative,
    span,
    before,
    after,
    POSITIVE: tl.constexpr,
    BAND: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    PRODUCT: tl.constexpr,
    HELD: tl.constexpr,
    MET: tl.constexpr,
):
    """A tile of mean_h P dP; zeros outside the segment."""
    first, count, start = segment_of(offsets, longest, HELD)
    stride = 3 * width
    t, u = start + tl.arange(0, HELD), tl.program_id(1) * MET + tl.arange(0, MET)
    mean = tl.zeros((HELD, MET), tl.float32)
    for head in range(heads):
        if bias is not None:  # asked for between the products it would spill
            more = bias_of(bias, head, t[:, None], u[None, :], count, side)
        base = qkv + first * stride + head * SIZE
        q = rows_of(base, t, count, stride, SIZE, PADDED, PRODUCT)
        k = rows_of(base + width, u, count, stride, SIZE, PADDED, PRODUCT)
        v = rows_of(base + 2 * width, u, count, stride, SIZE, PADDED, PRODUCT)
        g = rows_of(gradient + first * width + head * SIZE, t, count, width, SIZE, PADDED, PRODUCT)
        total = tl.load(lse + head * tl.cast(rows, tl.int64) + first + t, mask=t < count, other=0) * 1.4426950408889634
        logits = product(q, tl.trans(k), qkv.dtype.element_ty, PRODUCT) * (scale * 1.4426950408889634)
        if relative is not None:
            DISTANCES: tl.constexpr = 2 * (HELD if HELD > MET else MET)
            d = start - tl.program_id(1) * MET - (MET - 1) + span // 2
            a = table_rows(relative, 0, d, head, heads, span, SIZE, PADDED, DISTANCES)
            b = table_rows(relative, 1, d, head, heads, span, SIZE, PADDED, DISTANCES)
            logits += relative_logits(q, k, a, b, PRODUCT, HELD, MET) * (scale * 1.4426950408889634)
        if bias is not None:
            logits += more
        head_map = tl.exp2(logits - total[:, None]) * product(g, tl.trans(v), qkv.dtype.element_ty, PRODUCT)
        mean += tl.maximum(head_map, 0.0) if POSITIVE else head_map
    real = (t < count)[:, None] & (u < count)[None, :]
    if BAND:  # beyond it exp2 may have been anything
        real = real & inside(u[None, :], t[:, None], before, after)
    segment = (tl.program_id(0) // tl.cdiv(longest, HELD)).to(tl.int64)
    at = kept + (segment * longest + t[:, None]) * longest + u[None, :]
    tl.store(at, tl.where(real, mean / heads, 0.0), mask=(t < longest)[:, None] & (u < longest)[None, :])


def launch_maps(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    kept: Tensor,
    scale: float,
    positive: bool,
    bias: Tensor | None,
    relative: Tensor | None,
    before: int,
    after: int,
) -> None:
    """Fill `kept` [M,longest,longest] with the maps of the first M segments; but for the terms all are contiguous."""
    rows, _, heads, size = qkv.shape
    (maps, longest), (reach, banded) = kept.shape[:2], band(before, after)
    if kept.numel():
        launch(
            maps_kernel,
            tiles(
                qkv.dtype,
                size,
                fewer=relative is not None,
                relative=relative is not None,
                banded=(before, after) != (-1, -1),
            ),
            lambda meta: (maps * int(triton.cdiv(longest, meta["HELD"])), triton.cdiv(longest, meta["MET"])),
            *(gradient, qkv, lse, offsets, kept, rows, heads * size, longest, heads, scale),
            *(*added(bias, relative), *reach),
            POSITIVE=positive,
            **banded,
            **sizes(size, qkv.dtype),
        )


def attention_gradient(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    positive: bool = False,
    tf32: bool = False,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> Tensor:
    """Only the requested maps are stored; float32 products are exact."""
    gradient, qkv, lse, offsets = (x.contiguous() for x in (gradient, qkv, lse, offsets))
    maps = lse.new_empty((len(offsets) - 1, longest, longest))
    launch_maps(gradient, qkv, lse, offsets, maps, scale, positive, bias, relative, before, after)
    return maps
