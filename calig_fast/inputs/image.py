"""Image inputs: pixels from pictures, pictures from pixels, and the grid of patches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.encoder import Encoder
from ..results.tokens import Grid

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def is_image(value: Any) -> bool:
    """Return True if a value is a PIL image."""
    return any(c.__module__ == "PIL.Image" and c.__name__ == "Image" for c in type(value).__mro__)


def pixels(pictures: list[Any], processor: Any) -> Tensor:
    """PIL images as the model's pixels [B,C,H,W].

    Args:
        pictures: PIL images.
        processor: a Hugging Face image processor, or a transform from an image to a tensor [C,H,W].

    Raises:
        TypeError: no processor was given.
    """
    if processor is None:
        raise TypeError(
            "inputs: a picture needs the model's processor; pass tokenizer=AutoImageProcessor... or the timm transform "
            "(timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False))"
        )
    if _channels(processor) == 3:
        pictures = [picture.convert("RGB") for picture in pictures]
    if hasattr(processor, "image_mean"):
        found: Tensor = torch.as_tensor(processor(images=pictures, return_tensors="pt")["pixel_values"])
        return found
    return torch.stack([processor(picture) for picture in pictures])


def _channels(processor: Any) -> int | None:
    """The number of channels that the processor normalises, None if unknown."""
    if hasattr(processor, "image_mean"):
        return int(np.size(processor.image_mean))
    known = normalisation(processor)
    return None if known is None else len(known[0])


def normalisation(processor: Any) -> Normalisation | None:
    """Mean and standard deviation per channel, on a scale of 0 to 1, that pixels were normalised with.

    Of a Hugging Face processor, whose steps can be switched off, or of a transform that ends in Normalize.
    """
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if mean is not None and std is not None:
        if getattr(processor, "do_normalize", True) is False:
            mean, std = np.zeros_like(mean, dtype=float), np.ones_like(std, dtype=float)
        factor = (
            1.0 if getattr(processor, "do_rescale", True) is False else getattr(processor, "rescale_factor", 1 / 255)
        )
        mean, std = np.divide(mean, 255 * factor), np.divide(std, 255 * factor)
    for step in getattr(processor, "transforms", []):
        if type(step).__name__ == "Normalize":
            mean, std = step.mean, step.std
    if mean is None or std is None:
        return None
    return tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())


def black(like: Tensor, known: Normalisation | None) -> Tensor:
    """A black image as the model's normalisation writes it: (0 - mean) / std.

    Raises:
        ValueError: the normalisation is not known.
    """
    if known is None:
        raise ValueError(
            'baselines: "black" needs the normalisation of the pixels, and none is known; pass tokenizer=the image '
            'processor, or your own pixels, or baselines="blur"'
        )
    mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device).view(1, -1, 1, 1) for v in known)
    return (-mean / std).expand_as(like).clone()


def shown(values: Tensor, known: Normalisation | None) -> Tensor | None:
    """[B,H,W,3] uint8 pictures of the pixels: denormalised where that is known, stretched to 0..255 where not.

    None where the channels are neither one nor three.
    """
    image = values.detach().float().cpu()
    if image.shape[1] not in {1, 3}:
        return None
    if known is not None:
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in known)
        image = image * std + mean
    else:
        low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        image = (image - low) / (high - low).clamp_min(1e-12)
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()


def grid(values: Tensor, encoder: Encoder, tokens: int) -> Grid:
    """The patch grid of images [B,C,H,W] that became `tokens` tokens; one row where no grid fits."""
    if encoder.patch is not None:
        rows, columns = values.shape[-2] // encoder.patch[0], values.shape[-1] // encoder.patch[1]
        if rows * columns + encoder.prefix == tokens:
            return Grid(rows, columns, encoder.prefix)
    square = values.shape[-2] == values.shape[-1]
    for prefix in (encoder.prefix, 1, 0, 2) if square else ():
        side = math.isqrt(max(tokens - prefix, 0))
        if side and side * side == tokens - prefix:
            return Grid(side, side, prefix)
    return Grid(1, tokens, 0)
