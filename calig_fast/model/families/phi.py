"""Phi-1 and Phi-2: attention and MLP side by side after one norm, a part of each head's columns rotated."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import activation, affine, fused, norm, rotary, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a PhiModel."""
    return text(module, prefix, "phi", {"phi"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    attention = m.self_attn
    unhooked(module)
    heads = attention.dense.in_features // attention.head_dim
    normed = attention.qk_layernorm
    return Block(
        qkv=fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)]),
        out=affine(attention.dense),
        norm1=norm(m.input_layernorm),
        norm2=norm(m.input_layernorm),
        up=affine(m.mlp.fc1),
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.activation_fn),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=True,
        key_heads=heads // attention.num_key_value_groups,
        norm_q=norm(attention.q_layernorm) if normed else None,
        norm_k=norm(attention.k_layernorm) if normed else None,
        rotary=rotary(backbone.rotary_emb),
        after=0,
        parallel=True,
    )
