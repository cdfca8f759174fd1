"""GPT-2, and GPT-BigCode, whose heads of queries share one key and value: positions in the embeddings."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import by_kind
from ._weights import UnreadableError, activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GPT2Model or a GPTBigCodeModel."""
    return text(module, prefix, "gpt2", {"gpt2", "gpt_bigcode"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    if hasattr(m, "crossattention"):
        raise UnreadableError("its blocks attend to an encoder's output too")
    qkv, heads, shared = affine(attention.c_attn), attention.num_heads, getattr(attention, "multi_query", None)
    if shared is False:
        qkv = by_kind(qkv, heads, attention.head_dim)
    return Block(
        qkv=qkv,
        out=affine(attention.c_proj),
        norm1=norm(m.ln_1),
        norm2=norm(m.ln_2),
        up=affine(m.mlp.c_fc),
        down=affine(m.mlp.c_proj),
        activation=activation(m.mlp.act),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=True,
        key_heads=1 if shared else None,
        after=0,
    )
