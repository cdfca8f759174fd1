"""Processors of every kind: the pixels that they make of pictures, and the normalisation they are seen to apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.warn import warn
from .image_cut import PIXELS, SHAPES, are_patches, cut_of

_LEVELS = (0, 255, 102)
_RANDOM = ("Random", "RandAugment", "AutoAugment", "TrivialAugment", "AugMix", "ColorJitter")  # names of steps
_COLOUR = (51, 102, 204)


class Normalisation(NamedTuple):
    """Mean and standard deviation a channel, on a scale of 0 to 1, that pixels were normalised with.

    Args:
        mean: of each channel.
        std: of each channel.
        reversed: the channels were put in the order blue, green, red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed: bool = False


def image_processor(processor: Any) -> Any:
    """The part of a processor of several kinds of input that reads pictures; another processor is returned as it is."""
    inner = getattr(processor, "image_processor", None)
    return processor if inner is None else inner


def channels(processor: Any) -> int | None:
    """How many channels the processor says it normalises; None where it does not say."""
    processor = image_processor(processor)
    steps = (processor, *_steps(processor))
    means = (getattr(step, name, None) for step in steps for name in ("image_mean", "mean"))
    return next((len(m) for m in means if isinstance(m, list | tuple) or (isinstance(m, Tensor) and m.dim())), None)


def processed(pictures: list[Any], processor: Any) -> dict[str, Tensor]:
    """Make pixels [B,C,H,W] of pictures, and the other arguments that the processor makes with them.

    Args:
        pictures: PIL images of mode RGB or L.
        processor: an image processor of transformers, a processor that holds one, or a function of a PIL image that
            returns a tensor [C,H,W].

    Raises:
        TypeError: no processor, one that is no function, or one that returns no tensor.
        ValueError: the processor fails, or returns pictures of several sizes, or several for one.
    """
    processor = image_processor(processor)
    if processor is None:
        raise TypeError(
            "inputs: a picture needs the model's processor; pass processor=AutoImageProcessor... or the timm transform "
            "(timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False))"
        )
    kind = type(processor).__name__
    if not callable(processor):
        raise TypeError(f"processor: expected an image processor or a function of a PIL image, got {kind}")
    drawn = sorted({type(s).__name__ for s in _steps(processor) if type(s).__name__.startswith(_RANDOM)})
    if drawn:
        warn(
            f"processor: it has random steps ({', '.join(drawn)}), so each call explains another picture; pass the "
            "transform of evaluation"
        )
    try:
        tensors = _run(pictures, processor)
    except Exception as error:
        raise ValueError(
            f"processor: {kind} cannot make one batch of {len(pictures)} pictures ({type(error).__name__}: {error}); "
            "pass the processor that belongs to the model, one that gives all pictures the same size"
        ) from error
    shape = list(tensors[PIXELS].shape) if PIXELS in tensors else None
    dims = 3 if SHAPES in tensors else 4  # patches [B,N,P] that are cut already
    if shape is None or len(shape) != dims or shape[0] != len(pictures):
        raise ValueError(
            f"processor: {kind} makes { {k: list(v.shape) for k, v in tensors.items()} } of {len(pictures)} pictures; "
            "expected pixel_values [B,C,H,W], one for each: crops and tiles are explained one by one"
        )
    if not tensors[PIXELS].is_floating_point():
        raise ValueError(
            f"processor: {kind} gives {tensors[PIXELS].dtype} pixels, and the model computes in floating point; let it "
            "rescale and normalise them as the model was trained"
        )
    return tensors


def measured(processor: Any, pixels: Tensor) -> Normalisation | None:
    """The normalisation that a processor is seen to apply to pictures of one colour: x = (v - mean) / std.

    Args:
        processor: see `processed`.
        pixels: [B,C,H,W] that it made, for their size.

    Returns:
        the normalisation; None where the processor does not run, or does something else than x = (v - mean) / std.
    """
    count, height, width = pixels.shape[1:]
    if processor is None or count not in (1, 3):
        return None
    try:
        from PIL import Image

        mode = "L" if count == 1 else "RGB"
        colours = [level if count == 1 else (level,) * 3 for level in _LEVELS]
        probes = [Image.new(mode, (width, height), colour) for colour in (*colours, *[_COLOUR][: count > 1])]
        with torch.random.fork_rng(devices=[]):
            tensors = _run(probes, image_processor(processor))
        made = tensors[PIXELS].detach().double().cpu()
        made = cut_of(tensors, count).pictures(made) if are_patches(tensors) else made
    except Exception:  # the pixels are the caller's own, and the processor of another kind
        return None
    return _fitted(made) if made.dim() == 4 and made.shape[:2] == (len(probes), count) else None


def _steps(processor: Any) -> list[Any]:
    """The transforms that a processor of several is made of."""
    steps = getattr(processor, "transforms", None)
    return list(steps) if isinstance(steps, list | tuple | nn.ModuleList) else []


def _fitted(made: Tensor) -> Normalisation | None:
    """The normalisation of black, white, grey and, of three channels, a colour [3 or 4,C,H,W]; None where none fits."""
    black, white, grey = made[:3]
    span = (white - black).flatten(1)
    # what the processor pads has no span
    seen = span.abs() > 0.5 * span.abs().amax(1, keepdim=True)
    if not bool(torch.isfinite(made).all()) or not bool(seen.any(1).all()):
        return None
    place = seen.int().argmax(1, keepdim=True)
    low, scale = (v.flatten(1).gather(1, place) for v in (black, white - black))

    def fits(picture: Tensor, level: Tensor) -> bool:
        off = (picture.flatten(1) - low - scale * level) / scale
        return bool((off.abs()[seen] < 5e-3).all())

    if not (fits(black, torch.zeros(1, 1)) and fits(white, torch.ones(1, 1)) and fits(grey, torch.full((1, 1), 0.4))):
        return None
    mean, std = (-low / scale).flatten().tolist(), (1 / scale).flatten().tolist()
    turned = False
    if len(made) > 3:
        colour = torch.tensor(_COLOUR, dtype=torch.float64)[:, None] / 255
        turned = fits(made[3], colour.flip(0))
    return Normalisation(tuple(mean), tuple(std), turned)


def _run(pictures: list[Any], processor: Any) -> dict[str, Tensor]:
    if hasattr(processor, "image_mean") or hasattr(processor, "model_input_names"):
        batch = processor(images=pictures, return_tensors="pt")
        return {k: torch.as_tensor(v) for k, v in dict(batch).items()}
    made = [_tensor(processor(picture)) for picture in pictures]
    return {PIXELS: torch.stack([m[0] if m.dim() == 4 and len(m) == 1 else m for m in made])}


def _tensor(made: Any) -> Tensor:
    """The tensor that a function returned for one picture."""
    if isinstance(made, Mapping) or isinstance(getattr(made, "data", None), Mapping):
        made = made[PIXELS]
    if not isinstance(made, Tensor | np.ndarray):
        raise TypeError(
            f"it returns {type(made).__name__} for a picture, and no tensor [C,H,W]: end it with ToTensor()"
        )
    return torch.as_tensor(made).as_subclass(Tensor)
