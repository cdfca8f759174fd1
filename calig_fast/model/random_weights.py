"""Parts of a model, random weights for them, and a clone of the model with some of its weights replaced."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .clone import share_weights
from .encoder import Encoder


def model_parts(model: nn.Module, encoder: Encoder) -> dict[str, list[str]]:
    """Names of the parameters of each part, from the head to the embeddings.

    Parameters before the first block's belong to the embeddings, parameters after the blocks to the head.

    Raises:
        ValueError: blocks that are not known.
    """
    if not encoder.blocks:
        raise ValueError(
            f'model: no family knows {type(model).__name__}; name its blocks, as in layers="encoder.layers"'
        )
    parts: dict[str, list[str]] = {"head": [], **{block: [] for block in reversed(encoder.blocks)}, "embeddings": []}
    above = False
    for name, _ in model.named_parameters(remove_duplicate=False):
        block = next((b for b in encoder.blocks if name.startswith(f"{b}.")), None)
        above = above or block is not None
        parts[block or ("head" if above else "embeddings")].append(name)
    return {part: names for part, names in parts.items() if names}


def random_weights(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Random weights by name, the same object where the model's parameters are one."""
    generator = torch.Generator().manual_seed(seed)
    known: dict[int, Tensor] = {}
    out = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if id(weight) not in known:
            value = weight.detach().double().cpu()
            fresh = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            known[id(weight)] = (value.mean() + value.std(correction=0) * fresh).to(weight)
        out[name] = known[id(weight)]
    return out


def with_weights(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """A clone of the model with some of its weights replaced."""
    changed = share_weights(model)
    for name, value in weights.items():
        owner, _, leaf = name.rpartition(".")
        changed.get_submodule(owner)._parameters[leaf] = nn.Parameter(value, requires_grad=False)
    return changed
