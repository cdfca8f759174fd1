"""timm's VisionTransformer: ViT, DeiT, DINOv2, CLIP and MAE checkpoints, with registers, and any pooling.

NaFlexVit, for pictures of any shape, has the same blocks where it does not rotate queries and keys.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._timm import extra_norms, image, made_of, mlp_up
from ._weights import UnreadableError, activation, affine, layer_scale, norm, unhooked

STEMS = {  # the module that makes patches, by the class of the model
    "timm.models.vision_transformer.VisionTransformer": "patch_embed",
    "timm.models.naflexvit.NaFlexVit": "embeds",
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm VisionTransformer, a NaFlexVit or a class made from one."""
    classes = made_of(module)
    stem = next((name for kind, name in STEMS.items() if kind in classes), None)
    if stem is None:
        return None
    return image(module, prefix, "timm_vit", stem, _block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if type(module).__name__ != "Block" or type(getattr(m, "attn", None)).__name__ != "Attention":
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None)) if part is not None)
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    up, gated = mlp_up(m.mlp)
    return Block(
        qkv=affine(m.attn.qkv),
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
        **extra_norms(m),
        scale1=layer_scale(m.ls1, "gamma"),
        scale2=layer_scale(m.ls2, "gamma"),
    )
