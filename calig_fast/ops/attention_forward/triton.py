"""attention_forward in Triton: a program holds some queries of a head and meets the segment's keys tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton import AMD, Variant, interpreting, launch, refusal

LARGEST = 128  # columns of a head
LARGEST_RELATIVE = 64  # with relative keys and queries, whose rows of a tile's distances are in registers too


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, no float64, heads that fit into registers."""
    rows = tensors[0]
    if rows.ndim in (3, 4):
        if rows.dtype == torch.float64:
            return "the triton kernels of the attention do not take torch.float64"
        related = sum(tensor.ndim == 4 for tensor in tensors) > 1  # no other argument has as many axes as `qkv`
        largest = LARGEST_RELATIVE if related else LARGEST
        if rows.shape[-1] > largest:
            return f"heads of {rows.shape[-1]}, the triton kernels hold at most {largest}"
    return refusal(tensors)


def tiles(
    dtype: torch.dtype,
    size: int,
    *,
    amd: bool = AMD,
    fewer: bool = False,
    relative: bool = False,
    banded: bool = False,
) -> tuple[triton.Config, ...]:
    """Rows that a program holds, and rows it meets at a time; the first have room for every kernel's registers.

    Args:
        dtype: of the data; products of float32 are made without tensor cores, to its full precision.
        size: columns of a head.
        amd: True if the GPU prefetches into registers, not into shared memory, so that prefetching has no gain.
        fewer: meet fewer rows at a time, for the kernels that would spill.
        relative: tiles beside which the rows of their distances have room.
        banded: the same of a band's bounds.
    """
    shapes: tuple[tuple[int, int, int], ...]
    if relative:
        small = amd or fewer or dtype == torch.float32
        shapes = ((16, 16, 8 if dtype == torch.float32 and not amd else 4) if small else (32, 32, 8),)
    elif dtype == torch.float32:
        first = (32, 16, 4) if amd else (32, 16, 8) if fewer else (32, 32, 8)
        shapes = (first if size > 64 or (amd and banded) else (32, 32, 8), (64, 32, 8), (32, 16, 4))
    else:
        first = (32, 32, 4) if amd and banded else (64, 32, 8) if size > 64 or banded else (64, 64, 8)
        shapes = (first, (64, 64, 4), (32, 32, 4))
    stages = 1 if amd or relative else 2
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


def added(bias: Tensor | None, relative: Tensor | None) -> tuple[Tensor | int | None, ...]:
    """The terms and their rows as the kernels take them; kernels without a term are compiled without it."""
    of_pairs = (None, None) if bias is None else (bias.contiguous(), bias.shape[1])
    return *of_pairs, *((None, None) if relative is None else (relative.contiguous(), relative.shape[2]))


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
def table_rows(
    relative, side, first, head, heads, span, SIZE: tl.constexpr, PADDED: tl.constexpr, DISTANCES: tl.constexpr
):
    """The rows of distances t - u from `first` on of relative keys (side 0) or queries (1), zeros beside them."""
    d, e = first + tl.arange(0, DISTANCES), tl.arange(0, PADDED)
    mask = ((d >= 0) & (d < span))[:, None] & (e < SIZE)[None, :]
    at = ((side * heads + head).to(tl.int64) * span + d[:, None]) * SIZE + e[None, :]
    return tl.load(relative + at, mask=mask, other=0)


@triton.jit
def of_pairs(products, ROWS: tl.constexpr, OTHERS: tl.constexpr, KEYS: tl.constexpr):
    """[ROWS,OTHERS] of the products of rows with distances: the one of each pair. KEYS: rows are keys."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, OTHERS)[None, :]
    return tl.gather(products, j - i + ROWS - 1 if KEYS else i - j + OTHERS - 1, 1)


@triton.jit
def of_distances(ds, ROWS: tl.constexpr, OTHERS: tl.constexpr, DISTANCES: tl.constexpr, KEYS: tl.constexpr):
    """The reverse: dS [ROWS,OTHERS] at the distances of its pairs [ROWS,DISTANCES], zeros elsewhere."""
    i, d = tl.arange(0, ROWS)[:, None], tl.arange(0, DISTANCES)[None, :]
    place = d + i - (ROWS - 1) if KEYS else i - d + OTHERS - 1
    met = (place >= 0) & (place < OTHERS)
    return tl.where(met, tl.gather(ds, tl.where(met, place, 0), 1), 0.0)


@triton.jit
def relative_logits(q, k, a, b, PRODUCT: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr):
    """<q, a> + <k, b> of every pair of a tile, [QUERIES,KEYS], with a and b of the tile's distances."""
    keys = tl.dot(q, tl.trans(a.to(PRODUCT)), input_precision="ieee")
    queries = tl.dot(k, tl.trans(b.to(PRODUCT)), input_precision="ieee")
    return of_pairs(keys, QUERIES, KEYS, False) + tl.trans(of_pairs(queries, KEYS, QUERIES, True))


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
            if relative is not None:
                DISTANCES: tl.constexpr = 2 * (HELD if HELD > MET else MET)
                d = start - met - (MET - 1) + span // 2
                a = table_rows(relative, 0, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                b = table_rows(relative, 1, d, head, width // SIZE, span, SIZE, PADDED, DISTANCES)
                logits += relative_logits(q, k, a, b, PRODUCT, HELD, MET) * (scale * 1.4426950408889634)
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
            tiles(qkv.dtype, size, relative=relative is not None, banded=banded["BAND"]),
            lambda meta: (segments * triton.cdiv(longest, meta["HELD"]), heads),
            qkv.contiguous(),
            out,
            lse,
            offsets.contiguous(),
            rows,
            heads * size,
            longest,
            scale,
            *added(bias, relative),
            *reach,
            **banded,
            **sizes(size, qkv.dtype),
        )
    return out, lse


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {
    "offsets": "*i64",
    **dict.fromkeys(("lse", "delta", "kept", "bias"), "*sums"),
    **dict.fromkeys(("rows", "width", "longest", "heads", "side", "span", "before", "after"), "i32"),
    "scale": "fp32",
}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    for heads, size, constants in heads_of(dtype):
        yield heads, constants, tiles(dtype, size, amd=amd, relative="relative" in heads, banded="band" in heads)[0]


def heads_of(dtype: torch.dtype) -> Iterator[tuple[str, int, dict[str, object]]]:
    """Name, columns and constants of the heads that the attention's kernels are compiled for."""
    terms = {"bias": ("bias", "side"), "relative": ("relative", "span")}
    kinds = (24, ""), (64, ""), (64, "bias"), (64, "relative"), (64, "band"), (80, ""), (128, "")
    for size, kind in kinds:
        without = {name: None for term, names in terms.items() if kind != term for name in names}
        constants = sizes(size, dtype) | without | {"BAND": kind == "band"}
        yield f"heads of {size}{', ' * bool(kind)}{kind}", size, constants
