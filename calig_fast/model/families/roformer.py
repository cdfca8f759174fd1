"""RoFormer: BERT's blocks with neighbouring columns of queries and keys rotated, by a table of places."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder, RotaryTable
from ._huggingface import bert_block, text
from ._rotated import by_halves
from ._weights import UnreadableError


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a RoFormerModel."""
    return text(module, prefix, "roformer", {"roformer"}, "encoder.layer", read=partial(_block, module))


def _block(backbone: Any, module: nn.Module) -> Block:
    m: Any = module
    if m.attention.self.rotary_value:
        raise UnreadableError("its values are rotated too (rotary_value)")
    block = bert_block(module)
    sines, cosines = backbone.encoder.embed_positions.weight.chunk(2, -1)
    qkv = by_halves(block.qkv, 2 * block.heads, block.head_size, cosines.shape[1])
    return replace(block, qkv=qkv, rotary=RotaryTable(cosines, sines))
