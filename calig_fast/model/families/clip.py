"""The vision towers of CLIP, MetaCLIP 2, AltCLIP, Chinese CLIP and SigLIP, which has no class token.

The head is a classifier, or the scores of an image with given texts.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import image
from ._weights import activation, affine, fused, norm, unhooked

TOKENS = {
    "altclip_vision_model": 1,
    "chinese_clip_vision_model": 1,
    "clip_vision_model": 1,
    "metaclip_2_vision_model": 1,
    "siglip2_vision_model": 0,
    "siglip_vision_model": 0,
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a vision tower."""
    tokens = TOKENS.get(getattr(getattr(module, "config", None), "model_type", None) or "", 0)
    return image(module, prefix, "clip", {*TOKENS}, "encoder.layers", tokens=tokens, read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.self_attn
    unhooked(module)
    return Block(
        qkv=fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)]),
        out=affine(attention.out_proj),
        norm1=norm(m.layer_norm1),
        norm2=norm(m.layer_norm2),
        up=affine(m.mlp.fc1),
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.activation_fn),
        heads=attention.num_heads,
        scale=float(attention.scale),
        pre_norm=True,
    )
