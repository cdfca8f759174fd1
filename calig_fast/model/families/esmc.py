"""ESM C, for proteins: rotary positions, norms of all heads' queries and keys, branches scaled by the depth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import rotated_block
from ._weights import norm


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an EsmcModel."""
    return text(module, prefix, "esmc", {"esmc"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    norms = norm(m.input_layernorm), norm(m.post_attention_layernorm), None, None
    block = rotated_block(module, backbone, norms)
    scale = block.out.weight.new_full((len(block.out.weight),), 1 / m.scaling_factor)
    return replace(block, scale1=scale, scale2=scale)
