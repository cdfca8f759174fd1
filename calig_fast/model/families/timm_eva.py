"""timm's EVA where its positions are embedded, as in EVA-01; EVA-02 and its kin rotate queries and keys instead."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..encoder import Affine, Block, Encoder
from ._timm import image, made_of, mlp_up, without_extras
from ._unread import Unread
from ._weights import UnreadableError, activation, affine, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm Eva."""
    if "timm.models.eva.Eva" not in made_of(module):
        return None
    rotated = getattr(module, "rope", None) is not None
    read = Unread("its positions rotate queries and keys") if rotated else _block
    return image(module, prefix, "timm_eva", "patch_embed", read)


def _block(module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if type(module).__name__ != "EvaBlock" or type(m.attn).__name__ != "EvaAttention":
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None)) if part is not None)
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    without_extras(m)
    up, gated = mlp_up(m.mlp)
    return Block(
        qkv=_qkv(m.attn),
        out=affine(m.attn.proj),
        norm1=norm(m.norm1),
        norm2=norm(m.norm2),
        up=up,
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.act),
        heads=m.attn.num_heads,
        scale=float(m.attn.scale),
        pre_norm=True,
        gated=gated,
        scale1=m.gamma_1,
        scale2=m.gamma_2,
    )


def _qkv(attention: Any) -> Affine:
    """Queries, keys and values side by side, their biases joined."""
    if attention.qkv is None:
        return fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)])
    if attention.q_bias is None:
        return affine(attention.qkv)
    return Affine(affine(attention.qkv).weight, torch.cat([attention.q_bias, attention.k_bias, attention.v_bias]))
