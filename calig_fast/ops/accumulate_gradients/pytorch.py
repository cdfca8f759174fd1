"""accumulate_gradients in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import segments


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def accumulate_gradients(
    gradients: Sequence[Tensor],
    directions: Sequence[Tensor],
    offsets: Tensor,
    inputs: Tensor,
    weights: Tensor,
    with_lig: bool = False,
    starts: Sequence[Tensor] | None = None,
    steps: Tensor | None = None,
    begin: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One segment at a time: contract, then add to the input's tokens. Temporaries are one segment's."""
    wide = torch.float64 if gradients[0].dtype == torch.float64 else torch.float32
    if starts is not None:
        directions = [end.to(wide) - start.to(wide) for end, start in zip(directions, starts, strict=True)]
    tokens, width = directions[0].shape
    phi = torch.zeros(len(gradients[0]), dtype=wide, device=offsets.device)
    r, lig = phi.new_zeros(tokens), phi.new_zeros((tokens if with_lig else 0, width))
    for (here, rows), weight in zip(segments(offsets, inputs), weights.tolist(), strict=True):
        for gradient, direction in zip(gradients, directions, strict=True):
            phi[rows] += torch.linalg.vecdot(gradient[rows].to(wide), direction[here].to(wide))
        r[here].add_(phi[rows], alpha=weight)
        if with_lig:
            lig[here].add_(gradients[0][rows], alpha=weight)
    return phi, r, lig.mul_(directions[0]) if with_lig else lig
