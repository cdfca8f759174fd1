"""The range of a picture's values: what is black and what is white, told by the dtype or by the largest value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DARKEST = 16  # a picture whose largest value is below this part of a range is not taken to be of that range
_FLOATS, _INTS, _SIXTEEN = (1.0, 255.0, 65535.0), (255.0, 65535.0), (65535.0,)


def eight_bits(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Values of any dtype on a scale of 0 to 255: round(255 v / top), top being the value of white.

    uint8 and bool say their range. 16 bits reach to 65535. Other ints reach to 255 or 65535, floats to 1, 255 or 65535:
    the smallest of these that holds the largest value. A largest value below a sixteenth of it is refused, since a dark
    picture of that range and a bright one of another cannot be told apart.

    Args:
        values: of any shape.
        name: of the picture in messages.

    Raises:
        TypeError: values that are no real numbers.
        ValueError: NaN, infinity, negative values, or no clear range.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    kind = values.dtype.kind
    if kind not in "iuf":
        raise TypeError(f"inputs: {name} holds {values.dtype}; expected numbers, such as uint8 from 0 to 255")
    real = values.astype(np.float64)
    if not np.isfinite(real).all():
        raise ValueError(f"inputs: {name} holds NaN or infinity; mend the picture")
    ranges = _FLOATS if kind == "f" else _SIXTEEN if values.dtype == np.uint16 else _INTS
    top = _top(real, ranges, name)
    return np.asarray(np.rint(real * (255 / top)), dtype=np.uint8)


def _top(values: NDArray[np.float64], ranges: tuple[float, ...], name: str) -> float:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high == 0:
        return ranges[0]
    top = next((r for r in ranges if high <= r), None)
    if low < 0 or top is None or (top > 1 and high * _DARKEST < top):
        known = " or ".join(f"0 to {r:.0f}" for r in ranges)
        raise ValueError(
            f"inputs: {name} has values from {low:.6g} to {high:.6g}, which do not tell their range (known: {known}, "
            "the largest above a sixteenth of it); scale it yourself to uint8, 0 to 255"
        )
    return top
