"""Image inputs: pixels from whatever pictures are passed as, and pictures from pixels."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.host_copies import fetched
from .._utils.warn import warn
from ..model.call import Call, has_rows
from ..model.encoder import Encoder
from . import image_array as arrays
from .image_cut import PIXELS
from .image_patches import PatchConvolution
from .image_picture import eight_bit_picture, is_image, read_file
from .image_processor import Normalisation, channels, measured, processed

_FORMS = "pixels [B,C,H,W], PIL images, paths or arrays"


def arguments(inputs: Any, model: nn.Module, processor: Any, convolution: PatchConvolution | None) -> dict[str, Tensor]:
    """Make the model's arguments of pictures, or of pixels that are no mapping; sole unnamed pixels stand under "".

    Args:
        inputs: one picture or an iterable of them, of one size or of several: PIL images, paths, NumPy arrays, uint8
            tensors. Or pixels [C,H,W] or [B,C,H,W] as the model reads them, or a list of the former.
        model: the module that computes.
        processor: image processor or function, see `processed`; None for pixels.
        convolution: that makes the patches, which tells how many channels the model reads.

    Raises:
        TypeError: something else; a picture without a processor.
        ValueError: a picture that cannot be read, has no clear range or shape, or several frames; an empty batch;
            pixels of several sizes; a processor that fails or makes an argument that the model does not take.
    """
    one = is_image(inputs) or arrays.is_array(inputs) or isinstance(inputs, str | Path)
    if not one and (isinstance(inputs, bytes | bytearray) or not isinstance(inputs, Iterable)):
        raise TypeError(f"inputs: expected {_FORMS}, got {type(inputs).__name__}")
    items = [inputs] if one else list(inputs)
    if not items:
        raise ValueError("inputs: the batch is empty; pass at least one image")
    names = ["the picture"] if one else [f"picture {i}" for i in range(len(items))]
    reads = None if convolution is None else convolution.channels
    first = reads if _from_library(model) else None
    ready = [arrays.is_array(v) and arrays.is_pixels(v, first, name) for v, name in zip(items, names, strict=True)]
    if all(ready):
        tensors = {PIXELS: _stacked([arrays.as_pixels(value) for value in items], one)}
    elif any(ready):
        raise ValueError(
            f"inputs: pictures and pixels in one list ({names[ready.index(True)]} is floats [C,H,W], "
            f"{names[ready.index(False)]} is not); pass either"
        )
    else:
        count = _wanted(model, reads, channels(processor))
        pictures = [_pictures(value, count, name, processor) for value, name in zip(items, names, strict=True)]
        tensors = processed([picture for several in pictures for picture in several], processor)
        device = next(model.parameters()).device
        tensors = {name: value.to(device) for name, value in tensors.items()}
    return _named(tensors, model)


def checked(call: Call, model: nn.Module, convolution: PatchConvolution | None) -> tuple[str, dict[str, Any]]:
    """The name of the pixels, and the arguments, with a batch axis where single pixels [C,H,W] came.

    Raises:
        TypeError: pixels of ints.
        ValueError: no pixels, pixels of another shape or number of channels, an empty batch, NaN or infinity.
    """
    shapes = {k: list(v.shape) for k, v in call.items() if has_rows(v)}
    if not shapes:
        raise ValueError(f"inputs: expected pixels [C,H,W] or [B,C,H,W], got no tensor with axes, only {sorted(call)}")
    floats = (k for k, n in shapes.items() if len(n) == 4 and call[k].is_floating_point())
    name = PIXELS if PIXELS in shapes else next(floats, next(iter(shapes)))
    pixels = call[name]
    if not pixels.is_floating_point():
        raise TypeError(
            f"inputs: expected pixels [B,C,H,W] in floating point, got a {pixels.dtype} tensor {shapes[name]}; pass "
            "processor=, which scales and normalises it, or do so as the model was trained"
        )
    if pixels.dim() == 3 and len(shapes) == 1:
        pixels = pixels[None]
    if pixels.dim() != 4:
        raise ValueError(f"inputs: expected pixels [C,H,W] or [B,C,H,W], got {shapes}")
    if not pixels.numel():
        raise ValueError(f"inputs: the batch is empty (shape {list(pixels.shape)}); pass at least one image")
    reads = None if convolution is None or not _from_library(model) else convolution.channels
    if reads is not None and pixels.shape[1] != reads:
        last = "; they seem to have the channels last: pixels.permute(0, 3, 1, 2)" if pixels.shape[3] == reads else ""
        raise ValueError(
            f"inputs: expected pixels of {reads} channels [B,{reads},H,W], as the model reads, got "
            f"{list(pixels.shape)}{last}"
        )
    fetched(pixels)
    finite = torch.isfinite(pixels).flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"inputs: the pixels hold NaN or infinity, in picture {(~finite).nonzero().flatten().tolist()}; mend it, "
            "or leave it out"
        )
    return name, {**call, name: pixels}


def refuse_videos(call: Call) -> None:
    """Raise where an argument is frames, tiles or crops of a picture.

    Raises:
        ValueError: a floating-point argument of five axes.
    """
    shapes = {k: list(v.shape) for k, v in call.items() if has_rows(v) and v.dim() == 5 and v.is_floating_point()}
    if shapes:
        name, shape = next(iter(shapes.items()))
        raise ValueError(
            f"inputs: {name or 'the tensor'} is {shape}; expected pixels [B,C,H,W]: videos, tiles and crops are "
            "explained picture by picture, with a model that reads one"
        )


def normalisation(processor: Any, pixels: Tensor, encoder: Encoder) -> Normalisation | None:
    """The normalisation of the pixels: as the processor is seen to do, else as the model's own settings tell."""
    if processor is not None:
        return measured(processor, pixels)
    return None if encoder.normalisation is None else Normalisation(*encoder.normalisation)


def warn_unnormalised(given: Any, pixels: Tensor, known: Normalisation | None) -> None:
    """Warn where pixels that the caller passed look like a picture before its normalisation.

    Args:
        given: what the caller passed; what is neither array nor tensor went through a processor.
        pixels: [B,C,H,W] made of it.
        known: how pixels are normalised, None where it is not known.
    """
    if not arrays.is_array(given):
        return
    low, high = float(pixels.min()), float(pixels.max())
    ends = [((v - m) / s) for m, s in zip(known.mean, known.std, strict=True) for v in (0, 1)] if known else []
    hint = f"; normalised, black is {min(ends):.3g} and white {max(ends):.3g}" if ends else ""
    beyond = high > 4 * max([5.0, *map(abs, ends)])
    if beyond or (ends and min(ends) < -0.1 and low >= 0 and 0.5 < high <= 1):
        warn(
            f"inputs: the pixels go from {low:.3g} to {high:.3g}, as in a picture that is not normalised{hint}; pass "
            "uint8 and the processor, which normalises it"
        )


def black(like: Tensor, known: Normalisation | None) -> Tensor:
    """A black image as the model's normalisation writes it: (0 - mean) / std.

    Raises:
        ValueError: the normalisation is not known.
    """
    if known is None:
        raise ValueError(
            'baselines: "black" needs the normalisation of the pixels, and none is known; pass processor=the image '
            'processor, or your own pixels, or baselines="blur"'
        )
    mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device).view(1, -1, 1, 1) for v in known[:2])
    return (-mean / std).expand_as(like).clone()


def mean(like: Tensor, known: Normalisation | None) -> Tensor:
    """The image of the mean that was subtracted from the pixels, which the model sees as zeros.

    Raises:
        ValueError: the normalisation is known, and zeros are black or white.
    """
    if known is not None and not any(0.02 < m < 0.98 for m in known.mean):
        raise ValueError(
            'baselines: "mean" is the colour that the processor subtracts, and it subtracts none that lies between '
            f'black and white ({[round(m, 4) for m in known.mean]}); pass baselines="blur", "black" or your own pixels'
        )
    if known is None and bool((like >= 0).all()):
        warn(
            'baselines: "mean" is zeros, and none of the pixels is negative, so zero may be black; pass processor=, '
            "which tells the normalisation"
        )
    return torch.zeros_like(like)


def shown(values: Tensor, known: Normalisation | None) -> Tensor | None:
    """[B,H,W,3] uint8 pictures of the pixels: denormalised where that is known, stretched to 0..255 where not.

    None where the channels are neither one nor three.
    """
    image = values.detach().float().cpu()
    if image.shape[1] not in {1, 3}:
        return None
    if known is not None:
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in known[:2])
        image = image * std + mean
        image = image.flip(1) if known.reversed else image
    else:
        low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        image = (image - low) / (high - low).clamp_min(1e-12)
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()


def _stacked(pixels: list[Tensor], one: bool) -> Tensor:
    if one:
        return pixels[0]
    pixels = [p[0] if p.dim() == 4 and len(p) == 1 else p for p in pixels]
    if len(devices := sorted({str(p.device) for p in pixels})) > 1:
        raise ValueError(f"inputs: the pixels are on several devices ({', '.join(devices)}); move them to one")
    shapes = sorted({tuple(p.shape) for p in pixels})
    if len(shapes) > 1 or len(shapes[0]) != 3:
        raise ValueError(
            f"inputs: a list of pixels holds tensors [C,H,W] of one shape, got {[list(s) for s in shapes]}; explain "
            "them one by one, or pass pictures and the processor, which brings them to one size"
        )
    return torch.stack(pixels)


def _pictures(value: Any, count: int, name: str, processor: Any) -> list[Any]:
    """The pictures in one item of the inputs, as PIL images of mode RGB or L."""
    if isinstance(value, str | Path):
        value = read_file(value, name)
    if is_image(value):
        return [eight_bit_picture(value, count, name)]
    if not arrays.is_array(value):
        raise TypeError(f"inputs: {name} is {type(value).__name__}; expected {_FORMS}")
    if isinstance(value, Tensor) and (processor is None or value.dtype not in (torch.uint8, torch.uint16)):
        raise TypeError(
            f"inputs: expected pixels [B,C,H,W] in floating point, got a {value.dtype} tensor {list(value.shape)}; "
            "pass uint8 with processor=, which scales and normalises it, or do so as the model was trained"
        )
    return arrays.pictures(value, count, name)


def _wanted(model: nn.Module, reads: int | None, told: int | None) -> int:
    """Channels of the pictures that the processor is given, 1 or 3.

    Raises:
        ValueError: the model reads another number.
    """
    count = reads if _from_library(model) and reads is not None else told or reads or 3
    if count not in (1, 3):
        raise ValueError(
            f"inputs: the model reads {count} channels, and pictures have 1 or 3; pass pixels [B,{count},H,W] as the "
            "model reads them"
        )
    return count


def _from_library(model: nn.Module) -> bool:
    """Return True if pixels reach the first convolution as they are; a model of one's own may change their channels."""
    return type(model).__module__.startswith(("transformers.", "timm."))


def _named(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The arguments under the names that the model's forward has for them."""
    accepted = inspect.signature(model.forward).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    pixels = tensors[PIXELS]
    # a mask that hides nothing says nothing
    rest = {k: v for k, v in tensors.items() if k != PIXELS and (k in accepted or not bool((v == 1).all()))}
    strange = [name for name in rest if name not in accepted and not open_ended]
    if strange:
        raise ValueError(
            f"processor: it makes {strange}, which the model's forward does not take (it takes {sorted(accepted)}); it "
            "does not fit the model: pass the model's own processor, or the pixels alone"
        )
    name = PIXELS if PIXELS in accepted else next(iter(accepted), "") if rest else ""
    return {name: pixels, **rest}
