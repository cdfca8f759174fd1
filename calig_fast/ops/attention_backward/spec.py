"""Specification of attention_backward: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..attention_forward import spec as forward
from ..attention_forward.pytorch import attention_forward as plain_forward
from ..checks import check_same_device, check_tensor
from ..samples import Case, Layout, numbers, strided

SCHEMA = (
    "(Tensor gradient, Tensor qkv, Tensor out, Tensor lse, Tensor offsets, int longest, float scale, int maps=0,"
    " bool positive=False, Tensor? bias=None, Tensor? relative=None, int before=-1, int after=-1) -> (Tensor, Tensor)"
)
DTYPES = forward.DTYPES
# In float64 plain PyTorch makes the exact value's own rounding errors, so that its error is 0 and twice it allows none.
# exp(z - lse) is formed from a sum of its own and an lse rounded before: against long double both this and PyTorch's
# fused kernel were 7.75 eps off, in "long, 1 heads of 80".
FLOORS = {torch.float64: 16}


def check(
    gradient: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    maps: int,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    forward.check(qkv, offsets, longest, bias, relative, before, after)
    rows, _, heads, size = qkv.shape
    check_tensor("gradient", gradient, [rows, heads, size], [qkv.dtype])
    check_tensor("out", out, [rows, heads, size], [qkv.dtype])
    check_tensor("lse", lse, [heads, rows], [forward.wide(qkv.dtype)])
    check_same_device({"gradient": gradient, "qkv": qkv, "out": out, "lse": lse, "offsets": offsets})
    if not 0 <= maps < max(len(offsets), 1):
        raise ValueError(f"maps: expected a number of segments, 0 to {len(offsets) - 1}, got {maps}")


def fake(
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
    """The results' shapes and dtypes."""
    return torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device), lse.new_empty((maps, longest, longest))


def exact(
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
    """The formulas, segment by segment, in float64, from q, k and v alone."""
    g, x = gradient.double(), qkv.double()
    dqkv, gradient_maps = torch.zeros_like(x), x.new_zeros(maps, longest, longest)
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        (q, k, v), dout = x[first:last].permute(1, 2, 0, 3), g[first:last].transpose(0, 1)
        logits = forward.exact_logits(q.transpose(0, 1), k.transpose(0, 1), scale, bias, relative)
        p = logits.masked_fill(forward.outside(last - first, before, after), -torch.inf).softmax(-1)
        dp = dout @ v.mT
        ds = scale * p * (dp - (dp * p).sum(-1, keepdim=True))
        dq, dk = ds @ k, ds.mT @ q
        if relative is not None:
            keys, queries = forward.of_distances(relative, last - first)
            dq += torch.einsum("htu,htue->hte", ds, keys)
            dk += torch.einsum("htu,htue->hue", ds, queries)
        dqkv[first:last] = torch.stack([dq, dk, p.mT @ dout]).permute(2, 0, 1, 3)
        if s < maps:
            gradient_maps[s, : last - first, : last - first] = ((p * dp).clamp_min(0) if positive else p * dp).mean(0)
    return dqkv, gradient_maps


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for i, (name, qkv, offsets, longest) in enumerate(forward.problems(dtype)):
        segments = len(offsets) - 1
        g = numbers((len(qkv), *qkv.shape[2:]), dtype, 2)
        out, lse = forward.exact(qkv, offsets, longest, 0.25)
        saved = out.to(dtype), lse.to(forward.wide(dtype))
        cases.append(Case(name, (g, qkv, *saved, offsets, longest, 0.25, segments, i % 2 == 1)))
        apart = map(strided, (g, qkv, *saved, offsets))
        cases.append(Case(f"{name}, strided, no map", (*apart, longest + 3, 0.25)))
        for bias in forward.bias_for(name, qkv.shape[2], longest, dtype):
            out, lse = forward.exact(qkv, offsets, longest, 0.25, bias)
            saved = out.to(dtype), lse.to(forward.wide(dtype))
            where = offsets, longest, 0.25, segments, i % 2 == 0
            cases.append(Case(f"{name}, bias", (g, qkv, *saved, *where, bias)))
        for relative in forward.relative_for(name, qkv.shape[2], qkv.shape[3], longest, dtype):
            out, lse = forward.exact(qkv, offsets, longest, 0.25, None, relative)
            saved = out.to(dtype), lse.to(forward.wide(dtype))
            where = offsets, longest, 0.25, segments, i % 2 == 0
            cases.append(Case(f"{name}, relative", (g, qkv, *saved, *where, None, relative)))
        for band in forward.bands_for(name):
            out, lse = forward.exact(qkv, offsets, longest, 0.25, None, None, *band)
            saved = out.to(dtype), lse.to(forward.wide(dtype))
            where = offsets, longest, 0.25, segments, i % 2 == 0
            cases.append(Case(f"{name}, {forward.band_name(band)}", (g, qkv, *saved, *where, None, None, *band)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    qkv = torch.randn(layout.tokens, 3, *layout.heads)
    saved = plain_forward(qkv, *layout.where)
    return torch.randn(layout.tokens, *layout.heads), qkv, *saved, *layout.where, min(2, len(layout.lengths))
