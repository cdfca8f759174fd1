"""BigBird: BERT's blocks where it attends to all tokens, as it does in short texts; its sparse attention is its own."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import bert_block, text
from ._weights import UnreadableError


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BigBirdModel."""
    return text(module, prefix, "big_bird", {"big_bird"}, "encoder.layer", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    if type(m.attention.self).__name__ != "BigBirdSelfAttention":
        raise UnreadableError("its attention is sparse")
    return bert_block(module)
