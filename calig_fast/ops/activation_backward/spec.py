"""Specification of activation_backward: schema, checks, fake, float64 definition, sample cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checks import check_same_device, check_tensor
from ..samples import Case, Layout, numbers, strided

SCHEMA = "(Tensor gradient, Tensor inner, str kind, bool gated=False) -> Tensor"
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
KINDS = ("gelu", "gelu_tanh", "relu", "silu", "quick_gelu", "relu_squared")  # in the order of the enum in csrc
QUICK = 1.702  # the factor of quick_gelu's sigmoid


def check(gradient: Tensor, inner: Tensor, kind: str, gated: bool) -> None:
    """Raise TypeError or ValueError where the arguments do not fit."""
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    check_tensor("gradient", gradient, ["R", "I"], DTYPES)
    rows, width = gradient.shape
    check_tensor("inner", inner, [rows, 2 * width if gated else width], [gradient.dtype])
    check_same_device({"gradient": gradient, "inner": inner})


def fake(gradient: Tensor, inner: Tensor, kind: str, gated: bool = False) -> Tensor:
    """The result's shape and dtype."""
    return inner.new_empty(inner.shape)


def _gelu(u: Tensor) -> tuple[Tensor, Tensor]:
    below = torch.special.ndtr(u)
    return u * below, below + u * torch.exp(-u * u / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(u: Tensor) -> tuple[Tensor, Tensor]:
    factor = 2 * math.sqrt(2 / math.pi)
    s, other = (torch.sigmoid(sign * factor * (u + 0.044715 * u**3)) for sign in (1, -1))
    return u * s, s + u * s * other * factor * (1 + 3 * 0.044715 * u**2)


def _relu(u: Tensor) -> tuple[Tensor, Tensor]:
    return u.clamp(min=0), (u > 0).double()


def _silu(u: Tensor, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    s = torch.sigmoid(factor * u)
    return u * s, s + factor * u * s * torch.sigmoid(-factor * u)


_EXACT: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": _relu,
    "silu": _silu,
    "quick_gelu": partial(_silu, factor=QUICK),
    "relu_squared": lambda u: (u.clamp(min=0).square(), 2 * u.clamp(min=0)),
}


def exact(gradient: Tensor, inner: Tensor, kind: str, gated: bool = False) -> tuple[Tensor]:
    """The formula in float64."""
    g = gradient.double()
    if not gated:
        return (g * _EXACT[kind](inner.double())[1],)
    gate, value = inner.double().chunk(2, -1)
    activated, slope = _EXACT[kind](gate)
    return (torch.cat([g * value * slope, g * activated], -1),)


def sample_cases(dtype: torch.dtype) -> list[Case]:
    """Small problems that have gone wrong in kernels before."""
    cases = []
    for kind in KINDS:
        for gated in (False, True):
            for name, rows in (("one row", 1), ("ragged", 37), ("no rows", 0)):
                for width in (1, 7, 67):
                    g = numbers((rows, width), dtype, 1)
                    inner = numbers((rows, 2 * width if gated else width), dtype, 2) / 8
                    where = f"{name}, I {width}, {kind}{', gated' if gated else ''}"
                    cases.append(Case(where, (g, inner, kind, gated)))
                    cases.append(Case(f"{where}, strided", (strided(g), strided(inner), kind, gated)))
    return cases


def large(layout: Layout) -> tuple[Any, ...]:
    """Arguments large enough to be cut between threads."""
    rows, width = layout.rows, layout.width
    return torch.randn(rows, width), torch.randn(rows, 2 * width), "gelu", True
