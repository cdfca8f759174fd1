"""DeBERTa, the first: relative keys and queries as in its second version, and joined projections head by head."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Affine, Block, Encoder, Norm
from ..position_terms import RelativeTerms
from ._distances import LogBuckets
from ._huggingface import text
from ._weights import UnreadableError, activation, affine, relative_tables, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a DebertaModel."""
    backbone = text(module, prefix, "deberta", {"deberta"}, "encoder.layer")
    if backbone is None:
        return None
    model: Any = module
    return replace(backbone, read=partial(_block, model.encoder))


def _block(encoder: Any, module: nn.Module) -> Block:
    m: Any = module
    attention = m.attention.self
    unhooked(module)
    if attention.talking_head:
        raise UnreadableError("its heads exchange their logits")
    kinds, heads = attention.pos_att_type, attention.num_attention_heads
    return Block(
        qkv=_joined(attention),
        out=affine(m.attention.output.dense),
        norm1=_norm(m.attention.output.LayerNorm),
        norm2=_norm(m.output.LayerNorm),
        up=affine(m.intermediate.dense),
        down=affine(m.output.dense),
        activation=activation(m.intermediate.intermediate_act_fn),
        heads=heads,
        scale=(attention.attention_head_size * (1 + len(kinds))) ** -0.5,
        positions=_terms(encoder, attention) if kinds and attention.relative_attention else None,
    )


def _joined(attention: Any) -> Affine:
    """Queries, keys and values side by side; the model has the three of each head side by side."""
    weight = affine(attention.in_proj).weight
    by_head = torch.unflatten(weight, 0, (attention.num_attention_heads, 3, -1)).transpose(0, 1)
    bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    return Affine(by_head.flatten(0, 2), bias)


def _norm(module: Any) -> Norm:
    if type(module).__name__ != "DebertaLayerNorm":
        raise UnreadableError(f"a norm is a {type(module).__name__}, not its own")
    return Norm(module.weight, module.bias, float(module.variance_epsilon))


def _terms(encoder: Any, attention: Any) -> RelativeTerms:
    span = attention.max_relative_positions
    rows: Tensor = encoder.rel_embeddings.weight.detach().to(attention.in_proj.weight.dtype)[: 2 * span]
    keys = affine(attention.pos_proj) if "c2p" in attention.pos_att_type else None
    queries = affine(attention.pos_q_proj) if "p2c" in attention.pos_att_type else None
    return RelativeTerms(relative_tables(rows, keys, queries, attention.num_attention_heads), LogBuckets(span))
