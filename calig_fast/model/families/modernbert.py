"""ModernBERT: pre-norm, rotary positions of two bases, attention to all tokens or to near ones alone, a gated MLP.

Its decoder attends to the past alone, and keeps projections apart.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import rotated_block
from ._weights import norm


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a ModernBertModel or a ModernBertDecoderModel."""
    types = {"modernbert", "modernbert-decoder"}
    return text(module, prefix, "modernbert", types, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    # of the first block the embeddings' norm comes before it
    first = None if isinstance(m.attn_norm, nn.Identity) else norm(m.attn_norm)
    kind = "sliding_attention" if m.attn.sliding_window else "full_attention"
    return rotated_block(module, backbone, (first, norm(m.mlp_norm), None, None), kind=kind)
