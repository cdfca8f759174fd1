"""ALBERT: a few groups of blocks, each run several times with the same weights."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder, children
from ._huggingface import join, text


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an AlbertModel; its shared blocks stand once each."""
    found = text(module, prefix, "albert", {"albert"}, "encoder.albert_layer_groups")
    if found is None:
        return None
    groups = children(module, "encoder.albert_layer_groups")
    layers = [name for group in groups for name in children(module, f"{group}.albert_layers")]
    return Encoder(
        family="albert", modality="text", blocks=tuple(join(prefix, n) for n in layers), max_length=found.max_length
    )
