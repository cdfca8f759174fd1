"""Specification of attention_forward: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..checks import check_offsets, check_same_device, check_tensor, readable
from ..samples import Case, Layout, layouts, numbers, strided

SCHEMA = (
    "(Tensor qkv, Tensor offsets, int longest, float scale, Tensor? bias=None, Tensor? relative=None, int before=-1,"
    " int after=-1) -> (Tensor, Tensor)"
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the log-sums, the maps and the bias: float64 for float64, else float32."""
    return torch.promote_types(dtype, torch.float32)


def check(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("qkv", qkv, ["rows", 3, "H", "E"], DTYPES)
    check_offsets(offsets, qkv.shape[0])
    check_same_device({"qkv": qkv, "offsets": offsets})
    if readable(offsets) and (most_rows := max((b - a for a, b in pairwise(offsets.tolist())), default=0)) > longest:
        raise ValueError(f"longest: expected at least {most_rows}, the longest segment's rows, got {longest}")
    if bias is not None:
        _, *sides = check_tensor("bias", bias, [qkv.shape[2], "N", "N"], [wide(qkv.dtype)]).shape
        if sides[0] != sides[1] or sides[0] < longest:
            raise ValueError(
                f"bias: expected [H, N, N] with N at least {longest}, which is longest, got {[*bias.shape]}"
            )
        check_same_device({"qkv": qkv, "bias": bias})
    if relative is not None:
        span = check_tensor("relative", relative, [2, qkv.shape[2], "2N-1", qkv.shape[3]], [qkv.dtype]).shape[2]
        if span % 2 == 0 or span < 2 * longest - 1:
            raise ValueError(
                f"relative: expected [2, H, 2N-1, E] with N at least {longest}, which is longest, got "
                f"{[*relative.shape]}"
            )
        check_same_device({"qkv": qkv, "relative": relative})
    for name, rows in (("before", before), ("after", after)):
        if rows < -1:
            raise ValueError(f"{name}: expected a number of rows, or -1 for all, got {rows}")


def outside(rows: int, before: int, after: int) -> Tensor:
    """[rows,rows] bool, the keys that a segment's queries do not attend to."""
    steps = torch.arange(rows) - torch.arange(rows)[:, None]
    return ((steps < -before) & (before >= 0)) | ((steps > after) & (after >= 0))


def fake(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> tuple[Tensor, Tensor]:
    """The results' shapes and dtypes."""
    rows, _, heads, size = qkv.shape
    return qkv.new_empty((rows, heads, size)), qkv.new_empty((heads, rows), dtype=wide(qkv.dtype))


def exact(
    qkv: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> tuple[Tensor, Tensor]:
    """The formula, segment by segment, in float64."""
    q, k, v = qkv.double().unbind(1)
    out, lse = torch.zeros_like(q), q.new_zeros(q.shape[1], len(q))
    for first, last in pairwise(offsets.tolist()):
        here = slice(first, last)
        logits = exact_logits(q[here], k[here], scale, bias, relative)
        logits.masked_fill_(outside(last - first, before, after), -torch.inf)
        out[here] = torch.einsum("htu,uhe->the", logits.softmax(-1), v[here])
        lse[:, here] = logits.logsumexp(-1)
    return out, lse


def exact_logits(q: Tensor, k: Tensor, scale: float, bias: Tensor | None, relative: Tensor | None) -> Tensor:
    """z [H,T,T] of one segment's q and k [T,H,E], in float64."""
    z = scale * torch.einsum("the,uhe->htu", q, k)
    if relative is not None:
        keys, queries = of_distances(relative, len(q))
        z += scale * (torch.einsum("the,htue->htu", q, keys) + torch.einsum("uhe,htue->htu", k, queries))
    return z if bias is None else z + bias[:, : len(q), : len(q)].double()


def of_distances(relative: Tensor, tokens: int) -> Tensor:
    """The relative keys and queries of every query and key, [2,H,T,T,E] in float64."""
    places, middle = torch.arange(tokens), relative.shape[2] // 2
    return relative.double()[:, :, places[:, None] - places + middle]


def problems(dtype: torch.dtype) -> list[tuple[str, Tensor, Tensor, int]]:
    """(name, qkv, offsets, longest): the layouts, and rows that fill several tiles, of heads of odd sizes."""
    placed = {str(o.tolist()): (name, o) for name, o, _ in layouts()}
    placed["long"] = ("long", torch.tensor([0, 70, 71, 216]))
    cases = []
    for name, offsets in placed.values():
        rows, longest = int(offsets[-1]), int(offsets.diff().max()) if len(offsets) > 1 else 0
        for heads, size in ((3, 24), (2, 16), (1, 80)) if name in ("ragged", "long") else ((3, 24),):
            qkv = numbers((rows, 3, heads, size), dtype, 1) / 32
            cases.append((f"{name}, {heads} heads of {size}", qkv, offsets, longest))
    return cases


def bias_for(name: str, heads: int, longest: int, dtype: torch.dtype) -> list[Tensor]:
    """A bias for some of the problems, by their names: no wider than it must be, or wider and strided."""
    if not name.startswith(("one token", "no inputs", "ragged, 3", "ragged, 2", "long, 1")):
        return []
    side = longest if heads == 3 else longest + heads
    bias = numbers((heads, side, side), wide(dtype), 7) / 128  # or logits grow, and with them what their rounding does
    return [bias if heads == 3 else strided(bias)]


def relative_for(name: str, heads: int, size: int, longest: int, dtype: torch.dtype) -> list[Tensor]:
    """Relative keys and queries for some of the problems: of as many distances as there must be, or more, strided."""
    if not name.startswith(("one token", "no inputs", "ragged, 3", "ragged, 2", "long, 2")):
        return []
    side = longest if heads == 3 else longest + heads
    relative = numbers((2, heads, max(2 * side - 1, 1), size), dtype, 11) / 32
    return [relative if heads == 3 else strided(relative)]


def bands_for(name: str) -> list[tuple[int, int]]:
    """Bands for some of the problems, by their names: causal, narrow, wider than a tile, and of one side alone."""
    if name.startswith("long"):
        return [(-1, 0), (5, 5), (40, 0), (130, 3), (0, -1)]
    return [(-1, 0), (1, 2)] if name.startswith(("one token", "no inputs", "ragged, 3")) else []


def band_name(band: tuple[int, int]) -> str:
    """The name of a case."""
    return f"{band[0]} before, {band[1]} after".replace("-1", "all")


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, qkv, offsets, longest in problems(dtype):
        cases.append(Case(name, (qkv, offsets, longest, 0.25)))
        cases.append(Case(f"{name}, strided", (strided(qkv), strided(offsets), longest + 3, 0.125)))
        for bias in bias_for(name, qkv.shape[2], longest, dtype):
            cases.append(Case(f"{name}, bias", (qkv, offsets, longest, 0.25, bias)))
        for relative in relative_for(name, qkv.shape[2], qkv.shape[3], longest, dtype):
            cases.append(Case(f"{name}, relative", (qkv, offsets, longest, 0.25, None, relative)))
            for bias in bias_for(name, qkv.shape[2], longest, dtype):
                cases.append(Case(f"{name}, relative and bias", (qkv, offsets, longest, 0.25, bias, relative)))
        for band in bands_for(name):
            cases.append(Case(f"{name}, {band_name(band)}", (qkv, offsets, longest, 0.25, None, None, *band)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    return torch.randn(layout.tokens, 3, *layout.heads), *layout.where
