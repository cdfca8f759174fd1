"""CTRL: pre-norm blocks with attention to the past alone, positions in the embeddings."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import activation, affine, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a CTRLModel."""
    return text(module, prefix, "ctrl", {"ctrl"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.multi_head_attention
    unhooked(module)
    first, function, second = m.ffn
    return Block(
        qkv=fused([affine(attention.Wq), affine(attention.Wk), affine(attention.Wv)]),
        out=affine(attention.dense),
        norm1=norm(m.layernorm1),
        norm2=norm(m.layernorm2),
        up=affine(first),
        down=affine(second),
        activation=activation(function),
        heads=attention.num_heads,
        scale=float(attention.scaling),
        pre_norm=True,
        after=0,
    )
