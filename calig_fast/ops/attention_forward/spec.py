"""What attention_forward is: schema, checks, fake, float64 reference, sample cases."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..packed import check_offsets, check_same_device, check_tensor, readable
from ..samples import Case, layouts, numbers, strided

SCHEMA = "(Tensor qkv, Tensor offsets, int longest, float scale) -> (Tensor, Tensor)"
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check(qkv: Tensor, offsets: Tensor, longest: int) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("qkv", qkv, ["rows", 3, "H", "E"], DTYPES)
    check_offsets(offsets, qkv.shape[0])
    check_same_device({"qkv": qkv, "offsets": offsets})
    if readable(offsets) and (found := max((b - a for a, b in pairwise(offsets.tolist())), default=0)) > longest:
        raise ValueError(f"longest: expected at least {found}, the longest segment's rows, got {longest}")


def fake(qkv: Tensor, offsets: Tensor, longest: int, scale: float) -> tuple[Tensor, Tensor]:
    """The results' shapes and dtypes."""
    rows, _, heads, size = qkv.shape
    wide = torch.promote_types(qkv.dtype, torch.float32)
    return qkv.new_empty((rows, heads, size)), qkv.new_empty((heads, rows), dtype=wide)


def exact(qkv: Tensor, offsets: Tensor, longest: int, scale: float) -> tuple[Tensor, Tensor]:
    """The formula, segment by segment, in float64."""
    q, k, v = qkv.double().unbind(1)
    out, lse = torch.zeros_like(q), q.new_zeros(q.shape[1], len(q))
    for first, last in pairwise(offsets.tolist()):
        here = slice(first, last)
        logits = scale * torch.einsum("the,uhe->htu", q[here], k[here])
        out[here] = torch.einsum("htu,uhe->the", logits.softmax(-1), v[here])
        lse[:, here] = logits.logsumexp(-1)
    return out, lse


def problems(dtype: torch.dtype) -> list[tuple[str, Tensor, Tensor, int]]:
    """(name, qkv, offsets, longest): the layouts, and rows that fill several tiles, of heads of odd sizes."""
    placed = {str(o.tolist()): (name, o) for name, o, _ in layouts()}
    placed["long"] = ("long", torch.tensor([0, 70, 71, 216]))
    found = []
    for name, offsets in placed.values():
        rows, longest = int(offsets[-1]), int(offsets.diff().max()) if len(offsets) > 1 else 0
        for heads, size in ((3, 24), (2, 16), (1, 80)) if name in ("ragged", "long") else ((3, 24),):
            qkv = numbers((rows, 3, heads, size), dtype, 1) / 32
            found.append((f"{name}, {heads} heads of {size}", qkv, offsets, longest))
    return found


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for name, qkv, offsets, longest in problems(dtype):
        cases.append(Case(name, (qkv, offsets, longest, 0.25)))
        cases.append(Case(f"{name}, strided", (strided(qkv), strided(offsets), longest + 3, 0.125)))
    return cases
