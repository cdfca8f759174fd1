"""attention_forward in Triton: a program holds some queries of a head and meets the segment's keys tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton import AMD, Variant, interpreting, launch, refusal

LARGEST = 128  # columns of a head


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, no float64, heads that fit into registers, no terms of relative positions."""
    rows = tensors[0]
    if sum(tensor.ndim == 4 for tensor in tensors) > 1:
        return "the triton kernels of the attention have no terms of relative positions"
    if rows.ndim in (3, 4):
        if rows.dtype == torch.float64:
            return "the triton kernels of the attention do not take torch.float64"
        if rows.shape[-1] > LARGEST:
            return f"heads of {rows.shape[-1]}, the triton kernels hold at most {LARGEST}"
    return refusal(tensors)


def tiles(dtype: torch.dtype, size: int, amd: bool = AMD, fewer: bool = False) -> tuple[triton.Config, ...]:
    """Rows that a program holds, and rows it meets at a time; the first have room for every kernel's registers.

    Args:
        dtype: of the data; products of float32 are made without tensor cores, to its full precision.
        size: columns of a head.
        amd: True if the GPU prefetches into registers, not into shared memory, so that prefetching has no gain.
        fewer: meet fewer rows of float32 at a time, for the kernel that would spill.
    """
    shapes: tuple[tuple[int, int, int], ...]
    if dtype == torch.float32:
        first = (32, 16, 4) if amd else (32, 16, 8) if fewer else (32, 32, 8)
        shapes = (first if size > 64 else (32, 32, 8), (64, 32, 8), (32, 16, 4))
    else:
        shapes = ((64, 32, 8) if size > 64 else (64, 64, 8), (64, 64, 4), (32, 32, 4))
    stages = 1 if amd else 2
    return tuple(
        triton.Config({"HELD": a, "MET": b}, num_warps=w, num_stages=stages) for a, b, w in dict.fromkeys(shapes)
    )


def sizes(size: int, dtype: torch.dtype) -> dict[str, object]:
    """A head's columns, and the dtype its products take: the interpreter multiplies the bits of a bfloat16."""
    names = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    return {
        "SIZE": size,
        "PADDED": max(16, triton.next_power_of_2(size)),
        "PRODUCT": tl.float32 if interpreting() else names[dtype],
    }


def added(bias: Tensor | None) -> tuple[Tensor | None, int | None]:
    """The bias and its rows as the kernels take them; kernels without bias are compiled without it."""
    return (None, None) if bias is None else (bias.contiguous(), bias.shape[1])


def band(before: int, after: int) -> tuple[list[int], dict[str, bool]]:
    """A band as the kernels take it, its rows and the constant; kernels without band are compiled without it."""
    return [2**30 if rows < 0 else rows for rows in (before, after)], {"BAND": (before, after) != (-1, -1)}


@triton.jit
def met_by(start, HELD: tl.constexpr, count, before, after, MET: tl.constexpr, BAND: tl.constexpr):
    """First and last of the rows, in whole tiles from 0, that a tile from `start` on meets."""
    low, high = 0, count
    if BAND:
        low = tl.maximum(start - before, 0) // MET * MET
        high = tl.minimum(start + HELD + after, count)
    return low, high


@triton.jit
def rows_of(base, t, count, width, SIZE: tl.constexpr, PADDED: tl.constexpr, PRODUCT: tl.constexpr):
    """Some rows [.,PADDED] of one head, zeros outside the segment and the head."""
    d = tl.arange(0, PADDED)
    mask = (t < count)[:, None] & (d < SIZE)[None, :]
    return tl.load(base + t.to(tl.int64)[:, None] * width + d[None, :], mask=mask, other=0).to(PRODUCT)


@triton.jit
def put_rows(base, x, t, count, width, SIZE: tl.constexpr, PADDED: tl.constexpr):
    """Write the rows that `rows_of` reads."""
    d = tl.arange(0, PADDED)
    mask = (t < count)[:, None] & (d < SIZE)[None, :]
    tl.store(base + t.to(tl.int64)[:, None] * width + d[None, :], x.to(base.dtype.element_ty), mask=mask)


@triton.jit
def product(x, y, own, PRODUCT: tl.constexpr):
    """x y, x rounded to the data's dtype; float32 stays float32."""
    return tl.dot(x.to(own).to(PRODUCT), y, input_precision="ieee")


@triton.jit
def bias_of(bias, head, t, u, count, side):
    """Load the bias of a tile, times log2 e; zeros outside the segment. Of t and u one is [.,1], the other [1,.]."""
    at = (head * side + t).to(tl.int64) * side + u
    return tl.load(bias + at, mask=(t < count) & (u < count), other=0) * 1.4426950408889634


@triton.jit
def inside(u, t, before, after):
    """True where a query at t attends to a key at u. Of t and u one is [.,1], the other [1,.]."""
    return (u - t >= -before) & (u - t <= after)


@triton.jit
def kernel(
    qkv,
    out,
    lse,
    offsets,
    rows,
    width,
    longest,
    scale,
    bias,
    side,
    before,
    after,
    BAND: tl.constexpr,
    SIZE: tl.constexpr,
    PADDED: tl.constexpr,
    PRODUCT: tl.constexpr,
    HELD: tl.constexpr,
    MET: tl.constexpr,
):
    across = tl.cdiv(longest, HELD)
    segment, head = tl.program_id(0) // across, tl.program_id(1)
    first = tl.load(offsets + segment)
    count = (tl.load(offsets + segment + 1) - first).to(tl.int32)
    start = (tl.program_id(0) % across) * HELD
    t = start + tl.arange(0, HELD)
    stride = 3 * width
    base = qkv + first * stride + head * SIZE
    q = rows_of(base, t, count, stride, SIZE, PADDED, PRODUCT)
    top = tl.full((HELD,), float("-inf"), tl.float32)
    total = tl.zeros((HELD,), tl.float32)
    mixed = tl.zeros((HELD, PADDED), tl.float32)
    if start < count:
        low, high = met_by(start, HELD, count, before, after, MET, BAND)
        for met in range(low, high, MET):
            u = met + tl.arange(0, MET)
            k = rows_of(base + width, u, count, stride, SIZE, PADDED, PRODUCT)
            logits = product(q, tl.trans(k), qkv.dtype.element_ty, PRODUCT) * (scale * 1.4426950408889634)
            if bias is not None:
                logits += bias_of(bias, head, t[:, None], u[None, :], count, side)
            if BAND:  # finite: a query that has met no key of its own yet has a greatest logit to subtract
                logits = tl.where(inside(u[None, :], t[:, None], before, after), logits, -1e30)
            logits = tl.where((u < count)[None, :], logits, float("-inf"))
            above = tl.maximum(top, tl.max(logits, 1))
            p = tl.exp2(logits - above[:, None])
            fade = tl.exp2(top - above)
            total = total * fade + tl.sum(p, 1)
            v = rows_of(base + 2 * width, u, count, stride, SIZE, PADDED, PRODUCT)
            mixed = mixed * fade[:, None] + product(p, v, qkv.dtype.element_ty, PRODUCT)
            top = above
        put_rows(out + first * width + head * SIZE, mixed / total[:, None], t, count, width, SIZE, PADDED)
        sums = (top + tl.log2(total)) * 0.6931471805599453
        tl.store(lse + head.to(tl.int64) * rows + first + t, sums, mask=t < count)


def attention_forward(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> tuple[Tensor, Tensor]:
    """Each query is read once; a segment's keys and values once per tile of its queries."""
    rows, _, heads, size = qkv.shape
    out, lse = qkv.new_empty((rows, heads, size)), qkv.new_empty((heads, rows), dtype=torch.float32)
    if out.numel():
        segments, (reach, banded) = offsets.numel() - 1, band(before, after)
        launch(
            kernel,
            tiles(qkv.dtype, size),
            lambda meta: (segments * triton.cdiv(longest, meta["HELD"]), heads),
            qkv.contiguous(),
            out,
            lse,
            offsets.contiguous(),
            rows,
            heads * size,
            longest,
            scale,
            *added(bias),
            *reach,
            **banded,
            **sizes(size, qkv.dtype),
        )
    return out, lse


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {
    "offsets": "*i64",
    **dict.fromkeys(("lse", "delta", "kept", "bias"), "*sums"),
    **dict.fromkeys(("rows", "width", "longest", "heads", "side", "before", "after"), "i32"),
    "scale": "fp32",
}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    for heads, size, constants in heads_of(dtype):
        yield heads, constants, tiles(dtype, size, amd)[0]


def heads_of(dtype: torch.dtype) -> Iterator[tuple[str, int, dict[str, object]]]:
    """Name, columns and constants of the heads that the attention's kernels are compiled for."""
    for size, more in ((24, ""), (64, ""), (64, ", bias"), (64, ", band"), (80, ""), (128, "")):
        constants = sizes(size, dtype) | ({} if more == ", bias" else {"bias": None, "side": None})
        yield f"heads of {size}{more}", size, constants | {"BAND": more == ", band"}
