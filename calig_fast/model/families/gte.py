"""GTE, nomic's BERT and Jina's embeddings v3: BERT's blocks with rotary positions, of the first two a gated MLP."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import rotated_block
from ._weights import norm

TYPES = {"gte", "jina_embeddings_v3", "nomic_bert"}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is such a model."""
    return text(module, prefix, "gte", TYPES, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    norms = norm(m.post_attention_layernorm), norm(m.post_mlp_layernorm), None, None
    return replace(rotated_block(module, backbone, norms), pre_norm=False)
