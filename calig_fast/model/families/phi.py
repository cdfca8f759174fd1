"""Phi-1 and Phi-2, attention and MLP side by side after one norm, and Persimmon, one after the other.

A part of each head's columns is rotated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Affine, Block, Encoder
from ._huggingface import text
from ._rotated import by_kind, mlp, mlp_activation, optional_norm
from ._weights import affine, fused, norm, rotary, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a PhiModel or a PersimmonModel."""
    return text(module, prefix, "phi", {"persimmon", "phi"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    attention = m.self_attn
    unhooked(module)
    first, second = norm(m.input_layernorm), optional_norm(m, "post_attention_layernorm")
    qkv, heads = _qkv(attention)
    up, down, _ = mlp(m.mlp)
    return Block(
        qkv=qkv,
        out=affine(attention.dense),
        norm1=first,
        norm2=second or first,
        up=up,
        down=down,
        activation=mlp_activation(m.mlp),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=True,
        key_heads=(len(qkv.weight) // attention.head_dim - heads) // 2,
        norm_q=optional_norm(attention, "q_layernorm"),
        norm_k=optional_norm(attention, "k_layernorm"),
        rotary=rotary(backbone.rotary_emb),
        after=0,
        parallel=second is None,
    )


def _qkv(attention: Any) -> tuple[Affine, int]:
    """Queries, keys and values side by side, of Persimmon a copy, and the heads of queries."""
    heads = attention.dense.in_features // attention.head_dim
    if hasattr(attention, "query_key_value"):
        return by_kind(affine(attention.query_key_value), heads, attention.head_dim), heads
    return fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)]), heads
