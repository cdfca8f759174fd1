"""accumulate_gradients in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..packed import segment_rows


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
) -> tuple[Tensor, Tensor, Tensor]:
    """Gather the directions a row, contract, then add the rows of every token."""
    wide = torch.float64 if gradients[0].dtype == torch.float64 else torch.float32
    token, segment = segment_rows(offsets, inputs)
    w = weights.to(wide)[segment]
    tokens, width = directions[0].shape
    phi = torch.zeros(len(token), dtype=wide, device=offsets.device)
    for gradient, direction in zip(gradients, directions, strict=True):
        phi += torch.linalg.vecdot(gradient.to(wide), direction.to(wide)[token])
    r = phi.new_zeros(tokens).index_add_(0, token, w * phi)
    lig = phi.new_zeros((tokens if with_lig else 0, width))
    if with_lig:
        lig.index_add_(0, token, w.unsqueeze(1) * gradients[0].to(wide)).mul_(directions[0].to(wide))
    return phi, r, lig
