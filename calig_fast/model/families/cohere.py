"""Cohere's text encoder of Compass: attention and MLP side by side after one norm; only blocks with windows rotate."""

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
    """The encoder, if `module` is a CohereCompassTextModel."""
    return text(module, prefix, "cohere", {"cohere_compass_text"}, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    config, layer = m.self_attn.config, m.self_attn.layer_idx
    kind = config.layer_types[layer]
    rotates = config.rope_parameters[kind] is not None
    before = norm(m.input_layernorm)
    block = rotated_block(module, backbone if rotates else None, (before, before, None, None), kind=kind)
    return replace(block, parallel=True)
