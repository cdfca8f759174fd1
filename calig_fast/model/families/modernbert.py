"""ModernBERT: pre-norm, rotary positions of two bases, attention to all tokens or to near ones alone, a gated MLP."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import activation, affine, norm, rotary, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a ModernBertModel."""
    return text(module, prefix, "modernbert", {"modernbert"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    size = attention.head_dim
    # of the first block the embeddings' norm comes before it
    first = None if isinstance(m.attn_norm, nn.Identity) else norm(m.attn_norm)
    reach = -1 if attention.sliding_window is None else int(attention.sliding_window) - 1
    return Block(
        qkv=affine(attention.Wqkv),
        out=affine(attention.Wo),
        norm1=first,
        norm2=norm(m.mlp_norm),
        up=affine(m.mlp.Wi),
        down=affine(m.mlp.Wo),
        activation=activation(m.mlp.act),
        heads=attention.Wo.in_features // size,
        scale=float(size**-0.5),
        pre_norm=True,
        gated=True,
        rotary=rotary(backbone.rotary_emb, m.attention_type),
        before=reach,
        after=reach,
    )
