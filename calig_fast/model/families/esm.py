"""ESM, for proteins: pre-norm, natively with positions in the embeddings; ESM-2 rotates queries and keys instead."""

from __future__ import annotations

from functools import partial

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, padding_offset, text

# its MLP calls GELU as a function
_block = partial(bert_block, norms=("attention.LayerNorm", "LayerNorm"), pre_norm=True, function="gelu")


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an EsmModel."""
    return text(module, prefix, "esm", {"esm"}, "encoder.layer", offset=padding_offset(module), read=_block)
