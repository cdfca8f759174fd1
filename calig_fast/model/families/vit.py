"""ViT, with it a fine-tuned masked autoencoder (`ViTForImageClassification`), and ViT-MSN."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import image, vit_block


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a ViTModel or a ViTMSNModel."""
    return image(module, prefix, "vit", {"vit", "vit_msn"}, "layers", "encoder.layer", read=vit_block)
