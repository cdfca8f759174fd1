"""DistilBERT: BERT's blocks without segments or pooler."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import activation, affine, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a DistilBertModel."""
    return text(module, prefix, "distilbert", {"distilbert"}, "transformer.layer", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attention
    unhooked(module)
    return Block(
        qkv=fused([affine(attention.q_lin), affine(attention.k_lin), affine(attention.v_lin)]),
        out=affine(attention.out_lin),
        norm1=norm(m.sa_layer_norm),
        norm2=norm(m.output_layer_norm),
        up=affine(m.ffn.lin1),
        down=affine(m.ffn.lin2),
        activation=activation(m.ffn.activation),
        heads=attention.n_heads,
        scale=(attention.dim // attention.n_heads) ** -0.5,
    )
