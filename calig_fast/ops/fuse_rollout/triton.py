"""fuse_rollout in Triton: one program an input, twice over its map: for the divisor, and for the product."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..triton import Variant, launch, refusal, whole_rows


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, of inputs with rows that fit into registers."""
    return refusal(tensors, _longest(tensors[0], tensors[1]) if len(tensors) > 1 else 0)


def _longest(relevance: Tensor, attention: Tensor) -> int:
    """An upper bound of the inputs' lengths; the length itself would need a synchronisation."""
    return min(relevance.numel(), math.isqrt(attention.numel()))


@triton.jit
def _divisor(magnitude, entries, SCALE: tl.constexpr):
    """The divisor of values, from their magnitudes, zeros included; 1 if all are zero."""
    if SCALE == "sum":
        divisor = tl.sum(magnitude, 0)
    else:
        divisor = tl.max(magnitude, 0)
        if SCALE == "max_t":
            divisor *= entries
    return tl.where(divisor == 0, 1.0, divisor)


@triton.jit
def kernel(
    relevance,
    attention,
    offsets,
    maps,
    row,
    identity,
    row_out,
    identity_out,
    lam,
    residual,
    RELEVANCE: tl.constexpr,
    ATTENTION: tl.constexpr,
    WITH_RELEVANCE: tl.constexpr,
    WITH_ATTENTION: tl.constexpr,
    NORMALISE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    first = tl.load(offsets + tl.program_id(0))
    count = (tl.load(offsets + tl.program_id(0) + 1) - first).to(tl.int32)
    here = attention + tl.load(maps + tl.program_id(0))
    share, rest = tl.load(lam), tl.load(residual)
    u = tl.arange(0, COLUMNS)
    if WITH_RELEVANCE:
        r = tl.load(relevance + first + u, mask=u < count, other=0)
        if RELEVANCE != "none":
            r = r / _divisor(tl.abs(r), count, RELEVANCE)
        r = share * r
    if WITH_ATTENTION:
        scale = 1 - share
        if ATTENTION != "none":
            magnitudes = tl.zeros((ROWS * COLUMNS,), row_out.dtype.element_ty)
            entries = count.to(tl.int64) * count
            for start in range(0, entries, ROWS * COLUMNS):
                entry = start + tl.arange(0, ROWS * COLUMNS)
                magnitude = tl.abs(tl.load(here + entry, mask=entry < entries, other=0))
                magnitudes = magnitudes + magnitude if ATTENTION == "sum" else tl.maximum(magnitudes, magnitude)
            scale = scale / _divisor(magnitudes, count, ATTENTION)
    total = tl.zeros((ROWS, COLUMNS), row_out.dtype.element_ty)
    for start in range(0, count, ROWS):
        t = start + tl.arange(0, ROWS)
        mask = (t < count)[:, None] & (u < count)[None, :]
        a = tl.where(mask & (t[:, None] == u[None, :]), rest, 0.0)
        if WITH_RELEVANCE:
            a += tl.where(mask, r[None, :], 0.0)
        if WITH_ATTENTION:
            entry = t.to(tl.int64)[:, None] * count + u[None, :]
            a += scale * tl.load(here + entry, mask=mask, other=0)
        factor = tl.where(t < count, 1.0, 0.0).to(a.dtype)
        if NORMALISE:
            z = tl.sum(tl.abs(a), 1)
            factor = tl.where(z == 0, 0.0, 1 / tl.where(z == 0, 1.0, z))
        total += a * (tl.load(row + first + t, mask=t < count, other=0) * factor)[:, None]
        identity_part = tl.load(identity + first + t, mask=t < count, other=0)
        tl.store(identity_out + first + t, identity_part * rest * factor, mask=t < count)
    tl.store(row_out + first + u, tl.sum(total, 0), mask=u < count)


def fuse_rollout(
    relevance: Tensor,
    attention: Tensor,
    offsets: Tensor,
    row: Tensor,
    identity: Tensor,
    lam: float,
    residual: float = 1.0,
    relevance_scale: str = "max_t",
    attention_scale: str = "sum",
    normalise: bool = True,
) -> tuple[Tensor, Tensor]:
    """The map is never written; nothing is summed across programs, so no bit varies."""
    rows, identities = torch.empty_like(row), torch.empty_like(identity)
    if rows.numel():
        entries = offsets.diff().square()
        launch(
            kernel,
            whole_rows(_longest(relevance, attention))[::-1],  # the most warps first: an input has one program
            lambda meta: (entries.numel(),),
            relevance.contiguous(),
            attention.contiguous(),
            offsets.contiguous(),
            entries.cumsum(0) - entries,
            row.contiguous(),
            identity.contiguous(),
            rows,
            identities,
            row.new_full((), lam),  # an argument that is a number would be a float32
            row.new_full((), residual),
            RELEVANCE=relevance_scale,
            ATTENTION=attention_scale,
            WITH_RELEVANCE=lam != 0,
            WITH_ATTENTION=lam != 1,
            NORMALISE=normalise,
        )
    return rows, identities


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {"offsets": "*i64", "maps": "*i64", "relevance": "*sums"}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    scales = {"RELEVANCE": "max_t", "ATTENTION": "sum"}
    terms = {"WITH_RELEVANCE": True, "WITH_ATTENTION": True, "NORMALISE": True}
    yield "", {**scales, **terms}, whole_rows(512)[-1]
