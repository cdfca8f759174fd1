"""DINOv2: ViT's blocks with a layer scale; its classifier reads the class token and the mean patch side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import Encoder
from ._huggingface import image


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a Dinov2Model or a Dinov2WithRegistersModel."""
    config: Any = getattr(module, "config", None)
    tokens = 1 + int(getattr(config, "num_register_tokens", 0) or 0)

    def readout(mask: Tensor) -> Tensor:
        weights = torch.zeros(mask.shape, dtype=torch.float64, device=mask.device)
        weights[:, 0] = 0.5
        weights[:, tokens:] = 0.5 / max(mask.shape[1] - tokens, 1)
        return weights

    types = {"dinov2", "dinov2_with_registers"}
    return image(module, prefix, "dinov2", types, "encoder.layer", "layers", tokens=tokens, readout=readout)
