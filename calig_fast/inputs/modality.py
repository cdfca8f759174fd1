"""The modality of inputs, for models that do not say what they read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..model.encoder import Modality
from .image_array import is_array
from .image_picture import is_image


def modality_of(inputs: Any) -> Modality | None:
    """The modality that inputs show by their kind, or None where they may be either.

    Pictures, paths, uint8 arrays and floating tensors [C,H,W] or [B,C,H,W] are images; strings, integers and features
    [B,T,E] by name are text.
    """
    if isinstance(inputs, list | tuple) and len(inputs):
        return modality_of(inputs[0])
    if is_image(inputs) or isinstance(inputs, Path):
        return "image"
    if is_array(inputs) and str(inputs.dtype).removeprefix("torch.") == "uint8" and inputs.ndim in (3, 4):
        return "image"
    if isinstance(inputs, str):
        return "text"
    if isinstance(inputs, Tensor):
        if not inputs.is_floating_point():
            return "text" if inputs.dim() <= 2 else None
        return "image" if inputs.dim() in {3, 4} else None
    values = inputs if isinstance(inputs, Mapping) else getattr(inputs, "data", None)
    if isinstance(values, Mapping):
        tensors = [v for v in values.values() if isinstance(v, Tensor)]
        pictured = "pixel_values" in values or any(v.is_floating_point() and v.dim() == 4 for v in tensors)
        return "image" if pictured else "text" if tensors else None
    return None
