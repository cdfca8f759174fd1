"""GPT-NeoX and Pythia: attention and MLP side by side, each after a norm of its own, some columns of heads rotated."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import by_kind
from ._weights import activation, affine, norm, rotary, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GPTNeoXModel."""
    return text(module, prefix, "gpt_neox", {"gpt_neox"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    attention = m.attention
    unhooked(module)
    heads = attention.dense.in_features // attention.head_size
    return Block(
        qkv=by_kind(affine(attention.query_key_value), heads, attention.head_size),
        out=affine(attention.dense),
        norm1=norm(m.input_layernorm),
        norm2=norm(m.post_attention_layernorm),
        up=affine(m.mlp.dense_h_to_4h),
        down=affine(m.mlp.dense_4h_to_h),
        activation=activation(m.mlp.act),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=True,
        rotary=rotary(backbone.rotary_emb),
        after=0,
        parallel=bool(m.use_parallel_residual),
    )
