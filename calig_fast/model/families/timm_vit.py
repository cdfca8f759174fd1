"""timm's VisionTransformer: ViT, DeiT, DINOv2, CLIP and MAE checkpoints, with registers, and any pooling.

NaFlexVit, for pictures of any shape, has the same blocks where it does not rotate queries and keys.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Affine, Block, Encoder, children
from ._huggingface import join
from ._weights import UnreadableError, activation, affine, fused, layer_scale, norm, unhooked

STEMS = {  # the module that makes patches, by the class of the model
    "timm.models.vision_transformer.VisionTransformer": "patch_embed",
    "timm.models.naflexvit.NaFlexVit": "embeds",
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a timm VisionTransformer, a NaFlexVit or a class made from one."""
    made_of = {f"{c.__module__}.{c.__name__}" for c in type(module).__mro__}
    stem = next((name for kind, name in STEMS.items() if kind in made_of), None)
    if stem is None:
        return None
    model: Any = module
    rows, columns = getattr(model, stem).patch_size
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
        stem=join(prefix, stem) if stem == "patch_embed" else None,
    )


def _block(module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if type(module).__name__ != "Block" or type(getattr(m, "attn", None)).__name__ != "Attention":
        kinds = ", ".join(type(part).__name__ for part in (m, getattr(m, "attn", None)) if part is not None)
        raise UnreadableError(f"its blocks are of another kind ({kinds})")
    extras = {
        "attn.q_norm": m.attn.q_norm,
        "attn.k_norm": m.attn.k_norm,
        "attn.norm": getattr(m.attn, "norm", None),
        "attn.gate": getattr(m.attn, "gate", None),
        "mlp.norm": getattr(m.mlp, "norm", None),
    }
    for name, part in extras.items():
        if part is not None and not isinstance(part, nn.Identity):
            raise UnreadableError(f"its blocks have {name}")
    up, gated = _up(m.mlp)
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
        scale1=layer_scale(m.ls1, "gamma"),
        scale2=layer_scale(m.ls2, "gamma"),
    )


def _up(mlp: Any) -> tuple[Affine, bool]:
    """The first projection of an MLP, and whether it is gated: then gate and value are side by side.

    Raises:
        UnreadableError: another kind of MLP.
    """
    kind = type(mlp).__name__
    if kind == "Mlp":
        return affine(mlp.fc1), False
    if kind == "SwiGLU":
        return fused([affine(mlp.fc1_g), affine(mlp.fc1_x)]), True
    if kind == "GluMlp":
        both = affine(mlp.fc1)
        return (_swapped(both) if mlp.gate_last else both), True
    raise UnreadableError(f"its blocks are of another kind (an MLP of kind {kind})")


def _swapped(both: Affine) -> Affine:
    """The second half of a projection before the first, a copy."""
    half = len(both.weight) // 2
    return Affine(both.weight.roll(half, 0), None if both.bias is None else both.bias.roll(half, 0))
