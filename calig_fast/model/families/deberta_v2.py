"""DeBERTa-v2 and v3: BERT's blocks, whose attention has relative keys and queries of the distances between tokens."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Affine, Block, Encoder
from ..position_terms import RelativeTerms
from ._distances import LogBuckets
from ._huggingface import text
from ._unread import Unread
from ._weights import activation, affine, fused, norm, relative_tables, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a DebertaV2Model."""
    backbone = text(module, prefix, "deberta_v2", {"deberta-v2"}, "encoder.layer")
    if backbone is None:
        return None
    model: Any = module
    if model.encoder.conv is not None:
        return replace(backbone, read=Unread("a convolution follows its first block"))
    return replace(backbone, read=partial(_block, model.encoder))


def _block(encoder: Any, module: nn.Module) -> Block:
    m: Any = module
    attention = m.attention.self
    unhooked(module)
    q, k, v = (affine(getattr(attention, f"{name}_proj")) for name in ("query", "key", "value"))
    kinds = [kind for kind in ("c2p", "p2c") if kind in attention.pos_att_type]
    heads, size = attention.num_attention_heads, attention.attention_head_size
    return Block(
        qkv=fused([q, k, v]),
        out=affine(m.attention.output.dense),
        norm1=norm(m.attention.output.LayerNorm),
        norm2=norm(m.output.LayerNorm),
        up=affine(m.intermediate.dense),
        down=affine(m.output.dense),
        activation=activation(m.intermediate.intermediate_act_fn),
        heads=heads,
        scale=(size * (1 + len(kinds))) ** -0.5,
        positions=_terms(encoder, attention, q, k) if kinds and attention.relative_attention else None,
    )


def _terms(encoder: Any, attention: Any, q: Affine, k: Affine) -> RelativeTerms:
    """The relative keys and queries, of the model's own projections or of projections of their own."""
    span, shared = attention.pos_ebd_size, attention.share_att_key
    keys = queries = None
    if "c2p" in attention.pos_att_type:
        keys = k if shared else affine(attention.pos_key_proj)
    if "p2c" in attention.pos_att_type:
        queries = q if shared else affine(attention.pos_query_proj)
    rows = _embeddings(encoder, q.weight.dtype)[: 2 * span]
    buckets = LogBuckets(span, max(attention.position_buckets, 0), attention.max_relative_positions)
    return RelativeTerms(relative_tables(rows, keys, queries, attention.num_attention_heads), buckets)


def _embeddings(encoder: Any, dtype: torch.dtype) -> Tensor:
    """The embeddings of relative positions, in the dtype of the weights that are read."""
    rows: Tensor = encoder.rel_embeddings.weight.detach().to(dtype)
    if "layer_norm" not in encoder.norm_rel_ebd:
        return rows
    unhooked(encoder.LayerNorm)
    n = norm(encoder.LayerNorm)
    weight, bias = (None if t is None else t.to(dtype) for t in (n.weight, n.bias))
    return nn.functional.layer_norm(rows, rows.shape[-1:], weight, bias, n.eps)
