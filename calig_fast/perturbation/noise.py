"""Noise on the continuous inputs of a model: pixels, or word embeddings in the place of ids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..inputs.prepare import Inputs


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
        raise ValueError("model: it has no word embeddings to perturb; max_sensitivity of text needs them")
    with torch.no_grad():
        words = model.get_submodule(embedding)(batch.ids)
    others = {k: v for k, v in call.items() if v is not batch.ids}
    return {**others, "inputs_embeds": words}, "inputs_embeds"


def noise(like: Tensor, batch: Inputs, owners: Tensor, numbers: Tensor, *, radius: float, seed: int) -> Tensor:
    """[N,...] uniform noise for the inputs `owners` [N], of each the draw of that number; zeros at padding."""
    out = torch.zeros(len(owners), *like.shape[1:])
    for b in sorted(set(owners.tolist())):
        rows = owners == b
        # each input has its own draws, begun anew, so that they depend on neither the batch nor batch_size
        generator = torch.Generator().manual_seed(seed)
        count = int(numbers[rows].max()) + 1
        if batch.texts is None:
            out[rows] = torch.rand(count, *like.shape[1:], generator=generator)[numbers[rows]] * 2 - 1
            continue
        real = batch.mask[b].cpu()
        drawn = torch.rand(count, int(real.sum()), like.shape[2], generator=generator) * 2 - 1
        out[rows.nonzero(), real.nonzero().flatten()] = drawn[numbers[rows]]
    return radius * out
