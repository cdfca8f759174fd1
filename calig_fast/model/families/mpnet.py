"""MPNet: BERT's blocks with T5's weights of the distances between tokens, the same in every block."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ..position_terms import PairWeights
from ._distances import T5Buckets
from ._huggingface import padding_offset, text
from ._weights import activation, affine, fused, norm, unhooked

BUCKETS = T5Buckets(32, 128)  # of the model's code, whatever its configuration


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an MPNetModel."""
    backbone = text(module, prefix, "mpnet", {"mpnet"}, "encoder.layer", offset=padding_offset(module))
    if backbone is None:
        return None
    model: Any = module
    return replace(backbone, read=partial(_block, model.encoder.relative_attention_bias))


def _block(weights: Any, module: nn.Module) -> Block:
    m: Any = module
    attention = m.attention.attn
    unhooked(module)
    unhooked(weights)
    return Block(
        qkv=fused([affine(attention.q), affine(attention.k), affine(attention.v)]),
        out=affine(attention.o),
        norm1=norm(m.attention.LayerNorm),
        norm2=norm(m.output.LayerNorm),
        up=affine(m.intermediate.dense),
        down=affine(m.output.dense),
        activation=activation(m.intermediate.intermediate_act_fn),
        heads=attention.num_attention_heads,
        scale=attention.attention_head_size**-0.5,
        positions=PairWeights(weights.weight.T, BUCKETS),
    )
