"""Integrands [T] over [0, 1] that mislead an estimate, each by one mechanism, and as functions that Captum takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TOKENS = 8


@dataclass(frozen=True)
class Integrand:
    """One integrand.

    Args:
        name: for the table.
        phi: nodes [n] float64 to values [n,T].
        kinked: it jumps, which the package finds out from a model's graph.
    """

    name: str
    phi: Callable[[Tensor], Tensor]
    kinked: bool = False

    def __call__(self, nodes: list[float]) -> Tensor:
        """[n,T] float64."""
        return self.phi(torch.tensor(nodes, dtype=torch.float64))


def _tokens(seed: int = 0, balanced: bool = False) -> Tensor:
    """[T], the tokens' sizes; balanced ones add up to 0, so that completeness sees nothing of what they carry."""
    sizes = torch.randn(TOKENS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return sizes - sizes.mean() if balanced else sizes


def _on(smooth: Callable[[Tensor], Tensor], hard: Callable[[Tensor], Tensor], size: float, balanced: bool) -> Any:
    """A smooth part of some tokens, and a hard part of others, `size` times as large."""
    ground, carried = _tokens(0), size * _tokens(1, balanced)
    return lambda a: smooth(a)[:, None] * ground + hard(a)[:, None] * carried


def _calm(a: Tensor) -> Tensor:
    return torch.exp(-a)


def _bump(centre: float, width: float) -> Callable[[Tensor], Tensor]:
    return lambda a: torch.exp(-(((a - centre) / width) ** 2)) / (width * math.sqrt(math.pi))


def _saturated(a: Tensor) -> Tensor:
    """The gradient of a softmax over 8 keys as its logits are scaled to 60: nearly 0 but where two keys cross."""
    keys = torch.linspace(0, 1, TOKENS, dtype=torch.float64)
    logits = 60 * (keys * a[:, None] * 2 - keys**2)
    share = torch.softmax(logits, 1)
    return 120 * share * (keys - (share * keys).sum(1, keepdim=True)) * _tokens(3)


def _step(slope: float, centre: float) -> Callable[[Tensor], Tensor]:
    return lambda a: slope * torch.sigmoid(slope * (a - centre)) * torch.sigmoid(-slope * (a - centre))


def _vanishing(m: int) -> Callable[[Tensor], Tensor]:
    """A wave with its zeros at all multiples of 1/m, squared so that its integral is 1."""
    return lambda a: 2 * torch.sin(m * math.pi * a) ** 2


INTEGRANDS = (
    Integrand("smooth", _on(_calm, lambda a: torch.cos(3 * a), 1.0, False)),
    Integrand("planted spike", _on(_calm, _bump(0.3, 4e-3), 0.5, False)),
    Integrand("planted spike, tokens balanced", _on(_calm, _bump(0.3, 4e-3), 0.5, True)),
    Integrand("wide spike, tokens balanced", _on(_calm, _bump(0.37, 3e-2), 0.3, True)),
    Integrand("jump", _on(_calm, lambda a: (a > 0.37).double(), 1.0, False), kinked=True),
    Integrand("jump, tokens balanced", _on(_calm, lambda a: (a > 0.37).double(), 1.0, True), kinked=True),
    Integrand("jumps of many signs", _on(_calm, lambda a: torch.sign(torch.sin(23 * a)), 1.0, True), kinked=True),
    Integrand("zero at multiples of 1/4", _on(_calm, _vanishing(4), 0.5, False)),
    Integrand("zero at multiples of 1/4, tokens balanced", _on(_calm, _vanishing(4), 0.5, True)),
    Integrand("zero at multiples of 1/8, tokens balanced", _on(_calm, _vanishing(8), 0.5, True)),
    Integrand("zero at multiples of 1/16, tokens balanced", _on(_calm, _vanishing(16), 0.5, True)),
    Integrand("saturated softmax", _saturated),
    Integrand("step, slope 40", _on(_calm, _step(40, 0.3), 1.0, True)),
    Integrand("step, slope 400", _on(_calm, _step(400, 0.3), 1.0, True)),
    Integrand("tiny gap", lambda a: torch.cos(4 * a[:, None] + torch.arange(TOKENS)) * _tokens(5, balanced=True)),
    Integrand("long tail near 0", _on(_calm, lambda a: 1e-3 / (a * a + 1e-6), 1.0, True)),
    Integrand("long tail near 1", _on(_calm, lambda a: 1e-3 / ((1 - a) ** 2 + 1e-6), 1.0, True)),
    Integrand("square root at 0", _on(_calm, lambda a: 0.5 / (a + 1e-8).sqrt(), 1.0, True)),
    Integrand("wave", _on(_calm, lambda a: torch.cos(2 * math.pi * 16 * a) + 0.1 * a, 1.0, True)),
)


class Separable(nn.Module):
    """F(x) = sum over t of the integral of phi_t from 0 to x_t, so that the integrated gradients are phi's integrals.

    Args:
        integrand: phi.
        whole: F at the input of ones.
    """

    def __init__(self, integrand: Integrand, whole: float) -> None:
        super().__init__()
        self.integrand, self.whole = integrand, whole

    def forward(self, x: Tensor) -> Tensor:
        """[n], for points [n,T] of the straight path: the value at both ends, the gradient anywhere."""
        values: Tensor = _Path.apply(x, self.integrand, self.whole)  # type: ignore[no-untyped-call]
        return values


class _Path(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, integrand: Integrand, whole: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.integrand = integrand
        return whole * (x[:, 0] > 0.5).to(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.integrand.phi(x[:, 0].double()) * upstream[0][:, None], None, None
