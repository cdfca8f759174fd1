"""Specification of fuse_rollout: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..checks import check_offsets, check_same_device, check_tensor, readable
from ..samples import Case, Layout, layouts, numbers, strided

SCHEMA = (
    "(Tensor relevance, Tensor attention, Tensor offsets, Tensor row, Tensor identity, float lam, float residual=1.0,"
    " str relevance_scale='max_t', str attention_scale='sum', bool normalise=True) -> (Tensor, Tensor)"
)
DTYPES = (torch.float32, torch.float64)
RELEVANCE_SCALES = ("max_t", "max", "sum", "none")
ATTENTION_SCALES = ("sum", "max", "none")


def check(
    relevance: Tensor,
    attention: Tensor,
    offsets: Tensor,
    row: Tensor,
    identity: Tensor,
    lam: float,
    residual: float,
    relevance_scale: str,
    attention_scale: str,
    normalise: bool,
) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    check_tensor("relevance", relevance, ["tokens"], DTYPES)
    check_tensor("attention", attention, ["sum_b T_b^2"], [relevance.dtype])
    for name, vector in (("row", row), ("identity", identity)):
        check_tensor(name, vector, list(relevance.shape), [relevance.dtype])
    check_offsets(offsets, relevance.shape[0])
    named = {"relevance": relevance, "attention": attention, "offsets": offsets, "row": row, "identity": identity}
    check_same_device(named)
    if readable(offsets):
        entries = sum((b - a) ** 2 for a, b in pairwise(offsets.tolist()))
        check_tensor("attention", attention, [entries], [relevance.dtype])
    if not 0 <= lam <= 1:
        raise ValueError(f"lam: expected a number from 0 (attention alone) to 1 (relevance alone), got {lam}")
    if not math.isfinite(residual):
        raise ValueError(f"residual: expected a finite number, got {residual}")
    for name, scale, known in (
        ("relevance_scale", relevance_scale, RELEVANCE_SCALES),
        ("attention_scale", attention_scale, ATTENTION_SCALES),
    ):
        if scale not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {scale!r}")


def fake(
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
    """The results' shapes and dtype."""
    return torch.empty_like(relevance), torch.empty_like(relevance)


def _scaled(values: list[float], scale: str) -> list[float]:
    magnitudes = [abs(v) for v in values]
    denominators = {
        "none": 1.0,
        "sum": math.fsum(magnitudes),
        "max": max(magnitudes, default=0.0),
        "max_t": len(values) * max(magnitudes, default=0.0),
    }
    return [v / denominators[scale] if denominators[scale] else 0.0 for v in values]


def exact(
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
    """The formulas, entry by entry, in Python's float64."""
    rows, identities = [0.0] * len(relevance), [0.0] * len(relevance)
    first = 0
    for begin, end in pairwise(offsets.tolist()):
        n = end - begin
        r = _scaled(relevance[begin:end].tolist(), relevance_scale) if lam != 0 else [0.0] * n
        flat = attention[first : first + n * n].tolist() if lam != 1 else [0.0] * (n * n)
        g = _scaled(flat, attention_scale)
        first += n * n
        for t in range(n):
            a = [residual * (t == u) + lam * r[u] + (1 - lam) * g[t * n + u] for u in range(n)]
            z = math.fsum(map(abs, a)) if normalise else 1.0
            factor = 1 / z if z else 0.0
            for u in range(n):
                rows[begin + u] += float(row[begin + t]) * factor * a[u]
            identities[begin + t] = float(identity[begin + t]) * residual * factor
    return torch.tensor(rows, dtype=torch.float64), torch.tensor(identities, dtype=torch.float64)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    options: list[tuple[float, float, str, str, bool]] = [
        (0.5, 1.0, "max_t", "sum", True),
        (0.3, 1.0, "max", "max", True),
        (0.7, 0.5, "sum", "none", False),
        (0.5, 1.0, "none", "sum", False),
        (0.4, 0.0, "max_t", "sum", True),
        (0.0, 1.0, "max_t", "sum", True),
        (1.0, 1.0, "max_t", "sum", True),
    ]
    for name, offsets, _ in layouts():
        tokens, entries = int(offsets[-1]), int(((offsets[1:] - offsets[:-1]) ** 2).sum())
        relevance, attention = numbers((tokens,), dtype, 1), numbers((entries,), dtype, 2)
        row, identity = numbers((tokens,), dtype, 3), numbers((tokens,), dtype, 4)
        for option in options:
            lam = option[0]
            # NaN checks that unused inputs are never read
            r = relevance if lam else torch.full_like(relevance, torch.nan)
            g = attention if lam != 1 else torch.full_like(attention, torch.nan)
            cases.append(Case(f"{name}, {option}", (r, g, offsets, row, identity, *option)))
        apart = [strided(x) for x in (relevance, attention, row, identity)]
        cases.append(Case(f"{name}, strided", (*apart[:2], offsets, *apart[2:], *options[0])))
        zeros = torch.zeros_like(relevance), torch.zeros_like(attention), offsets, row, identity
        cases.append(Case(f"{name}, zeros", (*zeros, *options[0])))
        cases.append(Case(f"{name}, rows of zeros", (*zeros, *options[4])))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    tokens = layout.tokens
    parts = torch.randn(tokens), torch.randn(sum(n * n for n in layout.lengths))
    return (*parts, layout.offsets, torch.randn(tokens), torch.randn(tokens), 0.5)
