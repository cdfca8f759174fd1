"""Specification of attention_gradient: schema, checks, fake, float64 definition, sample cases."""

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
    "(Tensor gradient, Tensor qkv, Tensor lse, Tensor offsets, int longest, float scale, bool positive=False,"
    " bool tf32=False, Tensor? bias=None, Tensor? relative=None, int before=-1, int after=-1) -> Tensor"
)
DTYPES = forward.DTYPES


def check(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    forward.check(qkv, offsets, longest, bias, relative, before, after)
    rows, _, heads, size = qkv.shape
    check_tensor("gradient", gradient, [rows, heads, size], [qkv.dtype])
    check_tensor("lse", lse, [heads, rows], [forward.wide(qkv.dtype)])
    check_same_device({"gradient": gradient, "qkv": qkv, "lse": lse, "offsets": offsets})


def fake(
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
    """The result's shape and dtype."""
    return lse.new_empty((len(offsets) - 1, longest, longest))


def exact(
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
) -> tuple[Tensor]:
    """The formula, segment by segment, in float64, from q, k and v alone."""
    g, x = gradient.double(), qkv.double()
    maps = x.new_zeros(len(offsets) - 1, longest, longest)
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        (q, k, v), here = x[first:last].permute(1, 2, 0, 3), slice(0, last - first)
        logits = forward.exact_logits(q.transpose(0, 1), k.transpose(0, 1), scale, bias, relative)
        p = logits.masked_fill(forward.outside(last - first, before, after), -torch.inf).softmax(-1)
        product = p * (g[first:last].transpose(0, 1) @ v.mT)
        maps[s, here, here] = (product.clamp_min(0) if positive else product).mean(0)
    return (maps,)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for i, (name, qkv, offsets, longest) in enumerate(forward.problems(dtype)):
        g = numbers((len(qkv), *qkv.shape[2:]), dtype, 2)
        lse = forward.exact(qkv, offsets, longest, 0.25)[1].to(forward.wide(dtype))
        cases.append(Case(name, (g, qkv, lse, offsets, longest, 0.25, i % 2 == 1)))
        apart = map(strided, (g, qkv, lse, offsets))
        cases.append(Case(f"{name}, strided", (*apart, longest + 3, 0.25, i % 2 == 0)))
        for bias in forward.bias_for(name, qkv.shape[2], longest, dtype):
            lse = forward.exact(qkv, offsets, longest, 0.25, bias)[1].to(forward.wide(dtype))
            cases.append(Case(f"{name}, bias", (g, qkv, lse, offsets, longest, 0.25, i % 2 == 0, False, bias)))
        for relative in forward.relative_for(name, qkv.shape[2], qkv.shape[3], longest, dtype):
            lse = forward.exact(qkv, offsets, longest, 0.25, None, relative)[1].to(forward.wide(dtype))
            where = offsets, longest, 0.25, i % 2 == 0, False, None, relative
            cases.append(Case(f"{name}, relative", (g, qkv, lse, *where)))
        for band in forward.bands_for(name):
            lse = forward.exact(qkv, offsets, longest, 0.25, None, None, *band)[1].to(forward.wide(dtype))
            more = offsets, longest, 0.25, i % 2 == 0, False, None, None, *band
            cases.append(Case(f"{name}, {forward.band_name(band)}", (g, qkv, lse, *more)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    qkv = torch.randn(layout.tokens, 3, *layout.heads)
    lse = plain_forward(qkv, *layout.where)[1]
    return torch.randn(layout.tokens, *layout.heads), qkv, lse, *layout.where
