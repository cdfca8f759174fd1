"""One picture of any mode as 8 bits a channel: upright, scaled by its own range, over white where it is transparent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._utils.warn import warn
from .image_range import eight_bits

_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_DEEP_FILES = ("PNG", "PPM")  # of these files Pillow reads 16 bits a pixel as mode I


def is_image(value: Any) -> bool:
    """Return True if a value is a PIL image."""
    return any(c.__module__ == "PIL.Image" and c.__name__ == "Image" for c in type(value).__mro__)


def read_file(path: str | Path, name: str) -> Any:
    """The PIL image in a file.

    Args:
        path: of the file.
        name: of the picture in messages.

    Raises:
        ValueError: no such file, no picture, a damaged one, or one of several frames.
    """
    from PIL import Image

    try:
        there = Path(path).is_file()
    except (OSError, ValueError):  # longer than a name may be
        there = False
    if not there:
        raise ValueError(
            f"inputs: {name}, {str(path)[:200]!r}, is no file; the model reads pictures, so a str or Path names one"
        )
    try:
        with Image.open(path) as picture:
            return upright(picture, f"{name}, {str(path)[:200]!r},")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"inputs: {name}, {str(path)[:200]!r}, cannot be read as a picture ({error}); mend the file, or leave it "
            "out"
        ) from error


def upright(picture: Any, name: str) -> Any:
    """A picture as it is looked at: its pixels in memory, turned as its EXIF orientation says.

    Raises:
        ValueError: several frames, no pixels, or damaged ones.
    """
    from PIL import ImageOps

    # the second frame of a phone's MPO file is a preview or a depth map of the first
    frames = 1 if picture.format == "MPO" else _frames(picture)
    if frames > 1:
        raise ValueError(
            f"inputs: {name} holds {frames} frames, and the model reads one; pick it: picture.seek(0), then "
            'picture.convert("RGB")'
        )
    if 0 in picture.size:
        raise ValueError(f"inputs: {name} has no pixels ({picture.width} x {picture.height}); leave it out")
    form = picture.format
    try:
        picture = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"inputs: {name} cannot be read ({error}); mend the file, or leave it out") from error
    picture.format = form
    return picture


def _frames(picture: Any) -> int:
    try:
        return int(getattr(picture, "n_frames", 1))
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        AttributeError,
    ):  # its file is closed: this frame is all there is
        return 1


def eight_bit_picture(picture: Any, channels: int, name: str) -> Any:
    """A picture of any mode as mode RGB, or L for one channel.

    Modes of 16 and 32 bits are scaled by their range. Transparent pixels are laid over white, with a warning.

    Args:
        picture: PIL image.
        channels: 1 or 3.
        name: of the picture in messages.

    Raises:
        ValueError: several frames, damaged pixels, values without a clear range, a mode that has no colours.
    """
    from PIL import Image

    picture = upright(picture, name)
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in _DEEP_FILES):
        values = np.asarray(picture).astype(np.uint16)
        picture = Image.fromarray(eight_bits(values, name))
    elif picture.mode in ("I", "F"):
        picture = Image.fromarray(eight_bits(np.asarray(picture), name))
    elif _has_transparency(picture):
        picture = _over_white(picture, name)
    try:
        picture = picture.convert("RGB")
        return picture.convert("L") if channels == 1 else picture
    except (ValueError, OSError) as error:
        raise ValueError(
            f"inputs: {name} is of mode {picture.mode}, which becomes no RGB ({error}); convert it: "
            'picture.convert("RGB")'
        ) from error


def _has_transparency(picture: Any) -> bool:
    palette = picture.mode == "P" and picture.palette is not None and picture.palette.mode.endswith("A")
    return palette or picture.mode in _TRANSPARENT or "transparency" in picture.info


def _over_white(picture: Any, name: str) -> Any:
    from PIL import Image

    if picture.mode == "La":
        picture = picture.convert("LA")
    picture = picture.convert("RGBA")
    if picture.getchannel("A").getextrema()[0] == 255:
        return picture
    warn(
        f"{name} is transparent in places, and the model is shown white there; lay it over another background for "
        "another answer"
    )
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
