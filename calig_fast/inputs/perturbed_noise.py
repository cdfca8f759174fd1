"""Noise on the continuous inputs of a model: pixels, or word embeddings in the place of ids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .prepare import Inputs


def continuous(model: nn.Module, embedding: str | None, batch: Inputs) -> tuple[dict[str, Tensor], str]:
    """The inputs with embeddings in the place of ids, and the name of the perturbed argument.

    Raises:
        ValueError: a model of text without word embeddings.
    """
    if batch.texts is None:
        return dict(batch.call), batch.pixels[0]
    call = {**batch.call, "special_tokens_mask": batch.special.long()}
    if batch.embeds is not None:
        return call, batch.embeds
    if embedding is None or batch.ids is None:
        raise ValueError("model: it has no word embeddings to perturb; noise on text needs them")
    with torch.no_grad():
        words = model.get_submodule(embedding)(batch.ids)
    others = {k: v for k, v in call.items() if v is not batch.ids}
    return {**others, "inputs_embeds": words}, "inputs_embeds"


def noise(like: Tensor, batch: Inputs, owners: Tensor, numbers: Tensor, *, normal: bool, seed: int) -> Tensor:
    """Noise for the inputs `owners` [N], of each the draw of that number; zeros at padding.

    Args:
        like: [B,...] the numbers that it is added to.
        batch: the inputs.
        owners: [N] int64, an input each.
        numbers: [N] int64, which of its draws.
        normal: standard normal noise, else uniform from -1 to 1.
        seed: each input has its own draws, begun anew, so that they depend on neither the batch nor its size.

    Returns:
        [N,...] float32.
    """
    out = torch.zeros(len(owners), *like.shape[1:])
    for b in sorted(set(owners.tolist())):
        rows = owners == b
        generator = torch.Generator().manual_seed(seed)
        count = int(numbers[rows].max()) + 1
        if batch.texts is None:
            out[rows] = _drawn(count, *like.shape[1:], normal=normal, generator=generator)[numbers[rows]]
            continue
        real = batch.mask[b].cpu()
        drawn = _drawn(count, int(real.sum()), like.shape[2], normal=normal, generator=generator)
        out[rows.nonzero(), real.nonzero().flatten()] = drawn[numbers[rows]]
    return out


def _drawn(count: int, *shape: int, normal: bool, generator: torch.Generator) -> Tensor:
    """Draw by draw: a draw of `randn` depends on how many numbers are drawn at once."""
    if normal:
        return torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
    return torch.stack([torch.rand(shape, generator=generator) * 2 - 1 for _ in range(count)])
