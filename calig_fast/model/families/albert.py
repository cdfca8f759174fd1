"""ALBERT: a few groups of blocks, each run several times with the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from ..encoder import Block, Encoder, children
from ._huggingface import join, text
from ._weights import activation, affine, encoder_only, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an AlbertModel; its shared blocks stand once each."""
    backbone = text(module, prefix, "albert", {"albert"}, "encoder.albert_layer_groups")
    if backbone is None:
        return None
    groups = children(module, "encoder.albert_layer_groups")
    layers = [name for group in groups for name in children(module, f"{group}.albert_layers")]
    return replace(backbone, blocks=tuple(join(prefix, name) for name in layers), read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attention
    unhooked(module)
    encoder_only(attention.config)
    return Block(
        qkv=fused([affine(attention.query), affine(attention.key), affine(attention.value)]),
        out=affine(attention.dense),
        norm1=norm(attention.LayerNorm),
        norm2=norm(m.full_layer_layer_norm),
        up=affine(m.ffn),
        down=affine(m.ffn_output),
        activation=activation(m.activation),
        heads=attention.num_attention_heads,
        scale=attention.attention_head_size**-0.5,
    )
