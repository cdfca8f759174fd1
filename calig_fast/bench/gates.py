"""Differences of answers, and the checks that refuse a benchmark of wrong answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

SAME = 1e-5  # two answers at the same nodes, in float32
ROUNDED = 2.0  # times what the autograd engine's own float32 is off by, where that alone is beyond SAME


class RedGateError(RuntimeError):
    """An answer is wrong, so no time is reported."""


def errors(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[float]:
    """Relative error of r_l a layer, norm over tokens, the worst over the inputs; 0 where both are zero.

    Args:
        got: r_l [L,T] of every input.
        wanted: as many, of the same shapes.
    """
    pairs = [(g.double(), w.double()) for g, w in zip(got, wanted, strict=True)]
    off = torch.stack([torch.where((g == w).all(1), 0, (g - w).norm(dim=1) / w.norm(dim=1)) for g, w in pairs])
    worst_errors: list[float] = off.amax(0).tolist()
    return worst_errors


def gate(what: str, worst: float, limit: float) -> None:
    """Refuse an error above its limit, or one that is not a number.

    Raises:
        RedGateError: it is.
    """
    if not worst <= limit:
        raise RedGateError(f"{what}: {worst:.1e} is above {limit:.0e}; no time is reported")


def same(answers: Mapping[str, list[Tensor]], by_autograd: list[Tensor], exact: Callable[[], list[Tensor]]) -> float:
    """Compare answers at the same nodes with the autograd engine's; return the largest difference.

    Where one differs by more than `SAME`, the model itself may magnify the rounding of float32. Then both are compared
    with the autograd engine in float64. The error of the answer may be `ROUNDED` times the error of its own float32.

    Args:
        answers: name to r_l [L,T] of every input.
        by_autograd: the autograd engine's.
        exact: makes the autograd engine's in float64, which is only done where it is needed.

    Raises:
        RedGateError: an answer is further off.
    """
    apart = {name: max(errors(answer, by_autograd)) for name, answer in answers.items()}
    if not all(off <= SAME for off in apart.values()):
        truth = exact()
        limit = ROUNDED * max(errors(by_autograd, truth))
        for name, answer in answers.items():
            gate(f"{name} at equal nodes", max(errors(answer, truth)), max(limit, SAME))
    return max(apart.values())
