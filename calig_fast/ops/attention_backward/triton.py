"""attention_backward in Triton: one kernel a side, so that nothing is summed across programs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attention_forward.triton import (
    ARGUMENTS,
    added,
    band,
    bias_of,
    heads_of,
    inside,
    met_by,
    of_distances,
    product,
    put_rows,
    relative_logits,
    rows_of,
    sizes,
    supports,
    table_rows,
    tiles,
)
from ..attention_gradient.triton import launch_maps, maps_kernel, segment_of
from ..triton import Variant, launch

__all__ = ["ARGUMENTS", "attention_backward", "maps_kernel", "supports", "variants"]


@triton.jit
def queries_kernel(
    gradient,
    qkv,
    out,
    lse,
    offsets,
    delta,
    qkv_gradients,
    rows,
    width,
    longest,
    scale,
    bias,
    side,
    relative,
    span,
    before,
    after,
    BAND: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    PRODUCT: tl.constexpr,
    HELD: tl.constexpr,
    MET: tl.constexpr,
):
    """dq of some queries, and their rowsum(g out) for the other side."""
    first, count, start = segment_of(offsets, longest, HELD)
    head, stride = tl.program_id(1), 3 * width
    base, here = qkv + first * stride + head * SIZE, first * width + head * SIZE
    t = start + tl.arange(0, HELD)
    sums = head.to(tl.int64) * rows + first + t
    if start < count:
        q = rows_of(base, t, count, stride, SIZE, PADDED, PRODUCT)
        g = rows_of(gradient + here, t, count, width, SIZE, PADDED, PRODUCT)
        o = rows_of(out + here, t, count, width, SIZE, PADDED, PRODUCT)
        total = tl.load(lse + sums, mask=t < count, other=0) * 1.4426950408889634
        share = tl.sum(g.to(tl.float32) * o.to(tl.float32), 1)
        tl.store(delta + sums, share, mask=t < count)
        dq = tl.zeros((HELD, PADDED), tl.float32)
        low, high = met_by(start, HELD, count, before, after, MET, BAND)
        for met in range(low, high, MET):
            u = met + tl.arange(0, MET)
            k = rows_of(base + width, u, count, stride, SIZE, PADDED, PRODUCT)
            v = rows_of(base + 2 * width, u, count, stride, SIZE, PADDED, PRODUCT)
            logits = product(q, tl.trans(k), qkv.dtype.element_ty, PRODUCT) * (scale * 1.4426950408889634)
            if relative is not None:
                DISTANCES: tl.constexpr = 2 * (HELD if HELD > MET else MET)
                d = start - met - (MET - 1) + span // 2
                a = table_rows(relative, 0, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                b = table_rows(relative, 1, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                logits += relative_logits(q, k, a, b, PRODUCT, HELD, MET) * (scale * 1.4426950408889634)
            if bias is not None:
                logits += bias_of(bias, head, t[:, None], u[None, :], count, side)
            if BAND:
                logits = tl.where(inside(u[None, :], t[:, None], before, after), logits, float("-inf"))
            p = tl.where((u < count)[None, :], tl.exp2(logits - total[:, None]), 0.0)
            ds = p * (product(g, tl.trans(v), qkv.dtype.element_ty, PRODUCT) - share[:, None])
            dq += product(ds, k, qkv.dtype.element_ty, PRODUCT)
            if relative is not None:
                slopes = of_distances(ds, HELD, MET, DISTANCES, False)
                dq += product(slopes, a.to(PRODUCT), qkv.dtype.element_ty, PRODUCT)
        put_rows(qkv_gradients + first * stride + head * SIZE, dq * scale, t, count, stride, SIZE, PADDED)


@triton.jit
def keys_kernel(
    gradient,
    qkv,
    lse,
    offsets,
    delta,
    qkv_gradients,
    rows,
    width,
    longest,
    scale,
    bias,
    side,
    relative,
    span,
    before,
    after,
    BAND: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    PRODUCT: tl.constexpr,
    HELD: tl.constexpr,
    MET: tl.constexpr,
):
    """dk and dv of some keys."""
    first, count, start = segment_of(offsets, longest, HELD)
    head, stride = tl.program_id(1), 3 * width
    base, here = qkv + first * stride + head * SIZE, first * width + head * SIZE
    u = start + tl.arange(0, HELD)
    if start < count:
        k = rows_of(base + width, u, count, stride, SIZE, PADDED, PRODUCT)
        v = rows_of(base + 2 * width, u, count, stride, SIZE, PADDED, PRODUCT)
        dk = tl.zeros((HELD, PADDED), tl.float32)
        dv = tl.zeros((HELD, PADDED), tl.float32)
        low, high = met_by(start, HELD, count, after, before, MET, BAND)
        for met in range(low, high, MET):
            t = met + tl.arange(0, MET)
            sums = head.to(tl.int64) * rows + first + t
            q = rows_of(base, t, count, stride, SIZE, PADDED, PRODUCT)
            g = rows_of(gradient + here, t, count, width, SIZE, PADDED, PRODUCT)
            total = tl.load(lse + sums, mask=t < count, other=0) * 1.4426950408889634
            logits = product(k, tl.trans(q), qkv.dtype.element_ty, PRODUCT) * (scale * 1.4426950408889634)
            if relative is not None:
                DISTANCES: tl.constexpr = 2 * (HELD if HELD > MET else MET)
                d = met - start - (HELD - 1) + span // 2
                a = table_rows(relative, 0, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                b = table_rows(relative, 1, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                terms = tl.trans(relative_logits(q, k, a, b, PRODUCT, MET, HELD))
                logits += terms * (scale * 1.4426950408889634)
            if bias is not None:
                logits += bias_of(bias, head, t[None, :], u[:, None], count, side)
            if BAND:
                logits = tl.where(inside(u[:, None], t[None, :], before, after), logits, float("-inf"))
            p = tl.where((t < count)[None, :], tl.exp2(logits - total[None, :]), 0.0)
            dv += product(p, g, qkv.dtype.element_ty, PRODUCT)
            share = tl.load(delta + sums, mask=t < count, other=0)
            ds = p * (product(v, tl.trans(g), qkv.dtype.element_ty, PRODUCT) - share[None, :])
            dk += product(ds, q, qkv.dtype.element_ty, PRODUCT)
            if relative is not None:
                slopes = of_distances(ds, HELD, MET, DISTANCES, True)
                dk += product(slopes, b.to(PRODUCT), qkv.dtype.element_ty, PRODUCT)
        put_rows(qkv_gradients + first * stride + width + head * SIZE, dk * scale, u, count, stride, SIZE, PADDED)
        put_rows(qkv_gradients + first * stride + 2 * width + head * SIZE, dv, u, count, stride, SIZE, PADDED)


def attention_backward(
    gradient: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    maps: int = 0,
    positive: bool = False,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> tuple[Tensor, Tensor]:
    """Only the requested maps are stored."""
    rows, _, heads, size = qkv.shape
    gradient, qkv, lse, offsets = (x.contiguous() for x in (gradient, qkv, lse, offsets))
    dqkv, gradient_maps = torch.empty_like(qkv), lse.new_empty((maps, longest, longest))
    delta = torch.empty_like(lse)
    reach, banded = band(before, after)
    segments, related, constants = len(offsets) - 1, relative is not None, sizes(size, qkv.dtype) | banded
    rest = rows, heads * size, longest, scale, *added(bias, relative), *reach

    if qkv.numel():
        grid = lambda meta: (segments * int(triton.cdiv(longest, meta["HELD"])), heads)  # noqa: E731
        inputs = gradient, qkv, out.contiguous(), lse, offsets, delta, dqkv, *rest
        narrow = {"relative": related, "banded": banded["BAND"]}
        fewer, configs = (tiles(qkv.dtype, size, fewer=least, **narrow) for least in (True, False))
        launch(queries_kernel, fewer, grid, *inputs, **constants)
        launch(keys_kernel, configs, grid, gradient, qkv, lse, offsets, delta, dqkv, *rest, **constants)
    launch_maps(gradient, qkv, lse, offsets, gradient_maps, scale, positive, bias, relative, before, after)
    return dqkv, gradient_maps


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    for heads, size, constants in heads_of(dtype):
        related = "relative" in heads
        narrow = {"amd": amd, "relative": related, "banded": "band" in heads}
        config = tiles(dtype, size, **narrow)[0]
        yield f"queries, {heads}", constants, tiles(dtype, size, fewer=True, **narrow)[0]
        yield f"keys, {heads}", constants, config
        config = tiles(dtype, size, fewer=related, **narrow)[0]
        yield f"maps, {heads}", {**constants, "POSITIVE": False}, config
