"""timm's VisionTransformer: ViT, DeiT, DINOv2 and MAE checkpoints, class token or pooled patches, with registers."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Encoder, children
from ._huggingface import join


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
    )
