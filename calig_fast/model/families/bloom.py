"""BLOOM: pre-norm blocks with attention to the past alone, and slopes over distances (ALiBi) in place of positions."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ..position_terms import Slopes
from ._distances import alibi
from ._huggingface import blocks, join
from ._rotated import by_kind
from ._weights import UnreadableError, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BloomModel."""
    names = blocks(module, prefix, {"bloom"}, "h")
    if not names:
        return None
    return Encoder("bloom", "text", names, embedding=join(prefix, "word_embeddings"), read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.self_attention
    unhooked(module)
    if m.apply_residual_connection_post_layernorm:
        raise UnreadableError("its norms' outputs are what its branches are added to")
    heads = attention.num_heads
    return Block(
        qkv=by_kind(affine(attention.query_key_value), heads, attention.head_dim),
        out=affine(attention.dense),
        norm1=norm(m.input_layernorm),
        norm2=norm(m.post_attention_layernorm),
        up=affine(m.mlp.dense_h_to_4h),
        down=affine(m.mlp.dense_4h_to_h),
        activation="gelu_tanh",
        heads=heads,
        scale=float(attention.inv_norm_factor),
        pre_norm=True,
        positions=Slopes(alibi(heads)),
        after=0,
    )
