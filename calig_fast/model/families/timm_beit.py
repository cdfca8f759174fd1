"""timm's BEiT and BEiTv2: blocks with weights of the pairs of patches, a table a block or one for all."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..encoder import Affine, Block, Encoder
from ._distances import pair_weights
from ._timm import extra_norms, image, made_of, mlp_up
from ._weights import UnreadableError, activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm Beit."""
    if "timm.models.beit.Beit" not in made_of(module):
        return None
    shared: Any = getattr(module, "rel_pos_bias", None)
    return image(module, prefix, "timm_beit", "patch_embed", partial(_block, shared))


def _block(shared: nn.Module | None, module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if shared is not None:
        unhooked(shared)
    if type(module).__name__ != "Block" or type(getattr(m, "attn", None)).__name__ != "Attention":
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None)) if part is not None)
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    up, gated = mlp_up(m.mlp)
    attention = m.attn
    own = None if attention.relative_position_bias_table is None else attention
    return Block(
        qkv=_qkv(attention),
        out=affine(attention.proj),
        norm1=norm(m.norm1),
        norm2=norm(m.norm2),
        up=up,
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.act),
        heads=attention.num_heads,
        scale=float(attention.scale),
        pre_norm=True,
        gated=gated,
        **extra_norms(m),
        scale1=m.gamma_1,
        scale2=m.gamma_2,
        positions=pair_weights(own, shared),
    )


def _qkv(attention: Any) -> Affine:
    """The joined projection with its biases, of which the keys' is a buffer."""
    weight = affine(attention.qkv).weight
    if attention.q_bias is None:
        return Affine(weight, None)
    return Affine(weight, torch.cat([attention.q_bias, attention.k_bias, attention.v_bias]))
