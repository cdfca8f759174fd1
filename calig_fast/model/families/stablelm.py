"""StableLM: layer norms, rotary positions of some columns, a gated MLP after the attention or beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import optional_norm, rotated_block
from ._weights import UnreadableError, norm


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a StableLmModel."""
    return text(module, prefix, "stablelm", {"stablelm"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    if m.self_attn.qk_layernorm:
        raise UnreadableError("each of its heads has norms of its own (qk_layernorm)")
    first = norm(m.input_layernorm)
    norms = first, optional_norm(m, "post_attention_layernorm") or first, None, None
    return replace(rotated_block(module, backbone, norms), parallel=bool(m.use_parallel_residual))
