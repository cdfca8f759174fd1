"""DeiT: ViT's blocks with a distillation token after the class token."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import image, vit_block


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a DeiTModel."""
    return image(module, prefix, "deit", {"deit"}, "layers", "encoder.layer", tokens=2, read=vit_block)
