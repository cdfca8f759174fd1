"""Falcon: rotary positions, heads of queries that share keys, the MLP beside the attention or after it."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Affine, Block, Encoder, Norm
from ._huggingface import blocks, join
from ._rotated import by_kind
from ._unread import Unread
from ._weights import UnreadableError, activation, norm, rotary, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a FalconModel."""
    names = blocks(module, prefix, {"falcon"}, "h")
    if not names:
        return None
    config: Any = module.config
    read = Unread("its slopes over distances are rounded to bfloat16") if config.alibi else partial(_block, module)
    return Encoder("falcon", "text", names, embedding=join(prefix, "word_embeddings"), read=read)


def _block(backbone: Any, module: nn.Module) -> Block:
    m: Any = module
    attention = m.self_attention
    unhooked(module)
    heads, size, many = attention.num_heads, attention.head_dim, not attention.new_decoder_architecture
    keys = attention.num_kv_heads
    first, second, parallel = _norms(m)
    qkv = _affine(attention.query_key_value)
    return Block(
        # with one key for all, queries, key and value lie side by side already
        qkv=qkv if many and keys == 1 else by_kind(qkv, heads, size, heads // keys),
        out=_affine(attention.dense),
        norm1=first,
        norm2=second,
        up=_affine(m.mlp.dense_h_to_4h),
        down=_affine(m.mlp.dense_4h_to_h),
        activation=activation(m.mlp.act),
        heads=heads,
        scale=float(size**-0.5),
        pre_norm=True,
        key_heads=keys,
        rotary=rotary(backbone.rotary_emb),
        after=0,
        parallel=parallel,
    )


def _norms(block: Any) -> tuple[Norm, Norm, bool]:
    """The norms before attention and MLP, and whether both read the block's input."""
    if hasattr(block, "ln_attn"):
        return norm(block.ln_attn), norm(block.ln_mlp), True
    first = norm(block.input_layernorm)
    if hasattr(block, "post_attention_layernorm"):
        if block.self_attention.new_decoder_architecture:
            raise UnreadableError("its norm after the attention is not used")
        return first, norm(block.post_attention_layernorm), False
    return first, first, True


def _affine(layer: Any) -> Affine:
    """The weights of Falcon's linear layer, whose bias is added apart."""
    if type(layer).__name__ != "FalconLinear":
        raise UnreadableError(f"a projection is a {type(layer).__name__}, not Falcon's linear layer")
    return Affine(layer.weight, layer.bias)
