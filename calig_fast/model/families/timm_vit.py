"""timm's VisionTransformer: ViT, DeiT, DINOv2 and MAE checkpoints, class token or pooled patches, with registers."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder, children
from ._huggingface import join
from ._weights import UnreadableError, activation, affine, layer_scale, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm VisionTransformer or a class made from it."""
    made_of = {f"{c.__module__}.{c.__name__}" for c in type(module).__mro__}
    if "timm.models.vision_transformer.VisionTransformer" not in made_of:
        return None
    model: Any = module
    rows, columns = model.patch_embed.patch_size
    told = getattr(model, "pretrained_cfg", None) or {}
    known = "mean" in told and "std" in told
    return Encoder(
        family="timm_vit",
        modality="image",
        blocks=tuple(join(prefix, name) for name in children(module, "blocks")),
        prefix=int(model.num_prefix_tokens),
        patch=(int(rows), int(columns)),
        normalisation=(tuple(told["mean"]), tuple(told["std"])) if known else None,
        read=_block,
        stem=join(prefix, "patch_embed"),
    )


def _block(module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if type(module).__name__ != "Block" or type(m.attn).__name__ != "Attention" or type(m.mlp).__name__ != "Mlp":
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None), getattr(m, "mlp", None)))
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    extras = {
        "attn.q_norm": m.attn.q_norm,
        "attn.k_norm": m.attn.k_norm,
        "attn.norm": getattr(m.attn, "norm", None),
        "attn.gate": getattr(m.attn, "gate", None),
        "mlp.norm": m.mlp.norm,
    }
    for name, part in extras.items():
        if part is not None and not isinstance(part, nn.Identity):
            raise UnreadableError(f"its blocks have {name}")
    return Block(
        qkv=affine(m.attn.qkv),
        out=affine(m.attn.proj),
        norm1=norm(m.norm1),
        norm2=norm(m.norm2),
        up=affine(m.mlp.fc1),
        down=affine(m.mlp.fc2),
        activation=activation(m.mlp.act),
        heads=m.attn.num_heads,
        scale=float(m.attn.scale),
        pre_norm=True,
        scale1=layer_scale(m.ls1, "gamma"),
        scale2=layer_scale(m.ls2, "gamma"),
    )
