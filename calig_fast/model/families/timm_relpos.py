"""timm's ViTs with weights of the pairs of patches, of a table or of a small MLP; a block's own or those of all."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..encoder import Block, Encoder
from ..position_terms import PairWeights
from ._distances import Window
from ._timm import extra_norms, image, made_of, mlp_up
from ._weights import UnreadableError, activation, affine, layer_scale, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm VisionTransformerRelPos."""
    if "timm.models.vision_transformer_relpos.VisionTransformerRelPos" not in made_of(module):
        return None
    shared: Any = getattr(module, "shared_rel_pos", None)
    return image(module, prefix, "timm_relpos", "patch_embed", partial(_block, shared))


def _block(shared: nn.Module | None, module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    if shared is not None:
        unhooked(shared)
    up, gated = mlp_up(m.mlp)
    first, second, after = norm(m.norm1), norm(m.norm2), _norms_after(m)
    return Block(
        qkv=affine(attention.qkv),
        out=affine(attention.proj),
        norm1=None if after else first,
        norm2=None if after else second,
        up=up,
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.act),
        heads=attention.num_heads,
        scale=float(attention.scale),
        pre_norm=True,
        gated=gated,
        scale1=layer_scale(getattr(m, "ls1", None), "gamma"),
        scale2=layer_scale(getattr(m, "ls2", None), "gamma"),
        positions=_pairs(shared if attention.rel_pos is None else attention.rel_pos),
        post1=first if after else None,
        post2=second if after else None,
        **extra_norms(m),
    )


def _norms_after(block: Any) -> bool:
    """Return True where a block norms its branches, False where it norms what they read."""
    kinds = {"RelPosBlock": False, "ResPostRelPosBlock": True}
    name = type(block).__name__
    if name not in kinds or type(block.attn).__name__ != "RelPosAttention":
        raise UnreadableError(f"its blocks are of another kind ({name}, {type(block.attn).__name__})")
    return kinds[name]


def _pairs(module: Any) -> PairWeights | None:
    """The weights of all pairs of tokens of a picture of the model's size, each in its own column."""
    if module is None:
        return None
    bias = module.get_bias().detach()[0]
    tokens = bias.shape[-1]
    return PairWeights(bias.flatten(1), Window(torch.arange(tokens**2).view(tokens, tokens)))
