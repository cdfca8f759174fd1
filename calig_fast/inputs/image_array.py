"""Arrays as pictures: which axis holds the channels, and which arrays are pixels as the model reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .image_picture import eight_bit_picture
from .image_range import eight_bits

_CHANNELS = (1, 3, 4)


def is_array(value: Any) -> bool:
    """Return True if a value is a NumPy array of numbers, or a tensor."""
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "biufc")


def is_pixels(value: Any, channels: int | None, name: str) -> bool:
    """Return True if an array is pixels as the model reads them, floats with the channels first; others are pictures.

    Args:
        value: tensor or array.
        channels: of the model, None where they are not known.
        name: of the array in messages.

    Raises:
        ValueError: an array of floats that could be either.
    """
    if isinstance(value, Tensor):
        return value.is_floating_point()
    if value.dtype.kind != "f" or value.ndim not in (3, 4):
        return bool(value.dtype.kind == "f" and value.ndim > 4)
    first = value.shape[-3] in (_CHANNELS if channels is None else (channels,))
    if first and value.shape[-1] in _CHANNELS:
        raise ValueError(_both(value.shape, name))
    return first


def as_pixels(value: Any) -> Tensor:
    """Pixels as a tensor, not copied where PyTorch can read the memory as it is."""
    if isinstance(value, Tensor):
        return value
    dtype = value.dtype if value.dtype.itemsize <= 8 else np.dtype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(value, dtype=dtype.newbyteorder("=")))


def pictures(value: Any, channels: int, name: str) -> list[Any]:
    """The pictures in an array or tensor: [H,W], [H,W,C], [C,H,W], or several of them along a first axis of their own.

    Args:
        value: of uint8, or of another dtype with a range that is clear, see `eight_bits`; C is 1, 3 or 4 (the last
            transparency). A tensor is read [C,H,W] where both readings are possible.
        channels: what the model reads, 1 or 3.
        name: of the picture in messages.

    Returns:
        PIL images of mode RGB, or L for one channel.

    Raises:
        ValueError: another shape, or one that can be read two ways; values without a clear range.
        TypeError: values that are no numbers.
    """
    tensor = isinstance(value, Tensor)
    array: NDArray[Any] = value.detach().cpu().numpy() if tensor else value
    if array.ndim == 4:
        rows = [pictures(row, channels, f"{name}, row {i},") for i, row in enumerate(value)]
        return [picture for row in rows for picture in row]
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"inputs: {name} has shape {list(array.shape)}; expected a picture [H,W], [H,W,C] or [C,H,W] with C 1, 3 "
            "or 4, or a batch of them [B,H,W,C]"
        )
    return [eight_bit_picture(_picture(array, name, tensor), channels, name)]


def _picture(array: NDArray[Any], name: str, tensor: bool) -> Any:
    from PIL import Image

    if array.ndim == 3:
        array = _channels_last(array, name, tensor)
    values = eight_bits(array, name)
    return Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[2:] == (1,) else values))


def _channels_last(array: NDArray[Any], name: str, tensor: bool) -> NDArray[Any]:
    first, last = array.shape[0] in _CHANNELS, array.shape[-1] in _CHANNELS
    if first and last and not tensor:
        raise ValueError(_both(array.shape, name))
    if not first and not last:
        raise ValueError(
            f"inputs: {name} has shape {list(array.shape)}; expected a picture [H,W], [H,W,C] or [C,H,W] with C 1, 3 "
            "or 4"
        )
    return np.moveaxis(array, 0, -1) if first else array


def _both(shape: tuple[int, ...], name: str) -> str:
    return (
        f"inputs: {name} has shape {list(shape)}, of which both the first and the last axis could be the channels; "
        "pass PIL images, or the model's pixels [B,C,H,W] as a tensor"
    )
