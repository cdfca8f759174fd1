"""The modality of inputs, for models that do not say what they read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..model.encoder import Modality
from .image_array import is_array
from .image_picture import is_image
from .rows import is_mapping


def modality_of(inputs: Any, convolves: bool = True) -> Modality | None:
    """The modality that inputs show by their kind, or None where they may be either.

    Pictures, paths, uint8 arrays and floating tensors [C,H,W] or [B,C,H,W] are images; strings, integers and features
    [B,T,E] by name are text. A floating tensor of three axes, for a model without convolutions, is a picture where it
    is square, of one or three channels.

    Args:
        inputs: the user's inputs.
        convolves: the model has convolutions over pictures.
    """
    for _ in range(2):  # a list, or a list of pairs
        inputs = inputs[0] if isinstance(inputs, list | tuple) and len(inputs) else inputs
    if is_image(inputs) or isinstance(inputs, Path):
        return "image"
    if is_array(inputs) and str(inputs.dtype).removeprefix("torch.") == "uint8" and inputs.ndim in (3, 4):
        return "image"
    if isinstance(inputs, str):
        return "text"
    if isinstance(inputs, Tensor):
        if not inputs.is_floating_point():
            return "text" if inputs.dim() <= 2 else None
        if inputs.dim() != 3 or inputs.is_nested:
            return "image" if inputs.dim() == 4 else None
        square = inputs.shape[0] in {1, 3} and inputs.shape[1] == inputs.shape[2]
        return "image" if convolves or square else None
    if is_mapping(inputs):
        values = inputs if isinstance(inputs, Mapping) else inputs.data
        tensors = [v for v in values.values() if isinstance(v, Tensor)]
        pictured = "pixel_values" in values or any(v.is_floating_point() and v.dim() == 4 for v in tensors)
        return "image" if pictured else "text" if tensors else None
    return None
