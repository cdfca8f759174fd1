"""ViT, and with it a fine-tuned masked autoencoder (`ViTForImageClassification`)."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import image, vit_block


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a ViTModel."""
    return image(module, prefix, "vit", {"vit"}, "layers", "encoder.layer", read=vit_block)
