"""GPT-2: pre-norm blocks with attention to the past alone, positions in the embeddings."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import UnreadableError, activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GPT2Model."""
    return text(module, prefix, "gpt2", {"gpt2"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    if hasattr(m, "crossattention"):
        raise UnreadableError("its blocks attend to an encoder's output too")
    return Block(
        qkv=affine(attention.c_attn),
        out=affine(attention.c_proj),
        norm1=norm(m.ln_1),
        norm2=norm(m.ln_2),
        up=affine(m.mlp.c_fc),
        down=affine(m.mlp.c_proj),
        activation=activation(m.mlp.act),
        heads=attention.num_heads,
        scale=float(attention.scaling),
        pre_norm=True,
        after=0,
    )
