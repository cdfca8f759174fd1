"""GLM-4, whose queries and keys rotate in pairs of neighbours, and Helium, which rotates so too."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import optional_norm, rotated_block
from ._weights import norm


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GlmModel, a Glm4Model or a HeliumModel."""
    return text(module, prefix, "glm", {"glm", "glm4", "helium"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    branches = optional_norm(m, "post_self_attn_layernorm"), optional_norm(m, "post_mlp_layernorm")
    norms = norm(m.input_layernorm), norm(m.post_attention_layernorm), *branches
    return rotated_block(module, backbone, norms, interleaved=True)
