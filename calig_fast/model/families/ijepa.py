"""I-JEPA: ViT's blocks over patches alone; its classifier reads their mean."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import image, vit_block


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an IJepaModel."""
    return image(module, prefix, "ijepa", {"ijepa"}, "layers", "encoder.layer", tokens=0, read=vit_block)
