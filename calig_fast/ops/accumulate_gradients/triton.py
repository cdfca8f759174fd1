"""accumulate_gradients in Triton: a program holds whole rows of the directions and meets every gradient of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..model_sizes import WIDTH
from ..triton import AMD, Variant, computed_in, language, launch, padded, plan, refusal, segments_of, whole_rows


def supports(*tensors: Tensor) -> str | None:
    """Tensors of a GPU, of rows that fit into registers."""
    return refusal(tensors, max((t.shape[1] for t in tensors if t.ndim == 2), default=0))


def tiles(width: int, width1: int, lig: bool, amd: bool = AMD) -> tuple[triton.Config, ...]:
    """The sums of lig are a second row to hold; AMD's warps of 64 have room, and would load less than 128 bits."""
    return whole_rows(width, width1 + (width if lig and not amd else 0))


@triton.jit
def kernel(
    gradient,
    direction,
    gradient1,
    direction1,
    start,
    start1,
    owner,
    offsets,
    begins,
    firsts,
    weights,
    phi,
    relevance,
    lig,
    tokens,
    width,
    width1,
    PAIRS: tl.constexpr,
    STARTS: tl.constexpr,
    LIG: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    COLUMNS1: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column, column1 = tl.arange(0, COLUMNS)[None, :], tl.arange(0, COLUMNS1)[None, :]
    real = token < tokens
    place, stop, inside = segments_of(token, real, owner, offsets, begins)
    here = token[:, None] * width + column
    mask = real[:, None] & (column < width)
    step = tl.load(direction + here, mask=mask, other=0).to(WIDE)
    if STARTS:
        step -= tl.load(start + here, mask=mask, other=0).to(WIDE)
    if PAIRS == 2:
        mask1 = real[:, None] & (column1 < width1)
        here1 = token[:, None] * width1 + column1
        step1 = tl.load(direction1 + here1, mask=mask1, other=0).to(WIDE)
        if STARTS:
            step1 -= tl.load(start1 + here1, mask=mask1, other=0).to(WIDE)
    total = tl.zeros((ROWS,), WIDE)
    if LIG:
        totals = tl.zeros((ROWS, COLUMNS), WIDE)
    for _ in range(tl.max(stop - place, 0).to(tl.int32)):
        live = place < stop
        weight = tl.load(weights + place, mask=live, other=0)
        row = tl.load(firsts + place, mask=live, other=0) + inside
        slope = tl.load(gradient + row[:, None] * width + column, mask=mask & live[:, None], other=0).to(WIDE)
        dot = tl.sum(slope * step, 1)
        if PAIRS == 2:
            at = gradient1 + row[:, None] * width1 + column1
            dot += tl.sum(tl.load(at, mask=mask1 & live[:, None], other=0).to(WIDE) * step1, 1)
        tl.store(phi + row, dot, mask=live)
        total += tl.where(live, weight * dot, 0)
        if LIG:
            totals += weight[:, None] * slope
        place += 1
    tl.store(relevance + token, total, mask=real)
    if LIG:
        tl.store(lig + here, totals * step, mask=mask)


def accumulate_gradients(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool = False,
    starts: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Each gradient and each direction is read once; nothing is summed across programs, so no bit varies."""
    dtype, (tokens, width) = computed_in(gradients[0].dtype), directions[0].shape
    phi, r = gradients[0].new_empty(len(gradients[0]), dtype=dtype), offsets.new_empty(tokens, dtype=dtype)
    lig = r.new_empty((tokens if with_lig else 0, width))
    if tokens:
        pairs = [x.contiguous() for pair in zip(gradients, directions, strict=True) for x in pair]
        width1 = directions[-1].shape[1]
        launch(
            kernel,
            tiles(width, width1 if len(gradients) == 2 else 0, with_lig),
            lambda meta: (triton.cdiv(tokens, meta["ROWS"]),),
            *(pairs * 2)[:4],
            *(pairs * 2 if starts is None else [x.contiguous() for x in starts] * 2)[:2],
            *plan(offsets, inputs, weights, tokens, dtype),
            phi,
            r,
            lig,
            tokens,
            width,
            width1,
            PAIRS=len(gradients),
            STARTS=starts is not None,
            LIG=with_lig,
            WIDE=language(dtype),
            COLUMNS1=padded(width1),
        )
    return phi, r, lig


# types of the kernels' arguments that are no pointers to data; sums are of at least float32
ARGUMENTS = {
    **dict.fromkeys(("owner", "offsets", "begins", "firsts"), "*i64"),
    **dict.fromkeys(("weights", "phi", "relevance", "lig"), "*sums"),
    **dict.fromkeys(("tokens", "width", "width1"), "i32"),
}


def variants(dtype: torch.dtype, amd: bool) -> Iterator[Variant]:
    """Variant, constants and configuration of the kernels at BERT base's sizes, to be compiled without a GPU."""
    wide = {"WIDE": language(dtype)}
    for name, lig in (("one pair", False), ("one pair, lig", True)):
        constants = {**wide, "PAIRS": 1, "STARTS": False, "LIG": lig, "COLUMNS1": 1024}
        yield name, constants, tiles(WIDTH, 0, lig, amd)[0]
    sizes = {**wide, "PAIRS": 2, "STARTS": True, "LIG": False, "COLUMNS1": 4096}
    yield "residual and qkv", sizes, tiles(WIDTH, 3 * WIDTH, False, amd)[0]
