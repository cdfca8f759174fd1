"""The one diverging palette of every view: blue supports, orange opposes, distinct in all common colour vision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]

SUPPORT: RGB = (0, 114, 178)
OPPOSE: RGB = (213, 94, 0)
SUPPORT_ON_DARK: RGB = (63, 159, 217)
OPPOSE_ON_DARK: RGB = (238, 132, 52)
WHITE: RGB = (255, 255, 255)
DARK: RGB = (30, 33, 38)
INK: RGB = (28, 32, 39)
INK_ON_DARK: RGB = (231, 233, 238)
# Opacity of the strongest score behind dark ink on white, and light ink on a dark ground: contrast stays over 4.5.
ON_LIGHT = 0.62
ON_DARK = 0.72
PERCENTILE = 99.0


def robust_scale(values: NDArray[np.float64], percentile: float = PERCENTILE) -> float:
    """The magnitude drawn at full colour: a high percentile of |values|, so that one outlier does not bleach the rest.

    Args:
        values: scores of words or patches without special tokens, any shape; values that are not finite are left out.
        percentile: above 0, at most 100.

    Returns:
        a positive number; 1.0 where nothing differs from zero.
    """
    size = np.abs(values[np.isfinite(values)])
    if size.size == 0 or size.max() == 0:
        return 1.0
    return float(np.percentile(size, percentile)) or float(size.max())


def normalise(values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """values / scale, clipped to [-1, 1]; values that are not finite become 0."""
    return np.clip(np.where(np.isfinite(values), values, 0.0) / scale, -1.0, 1.0)


def levels(values: NDArray[np.float64], scale: float, steps: int) -> NDArray[np.int64]:
    """`normalise` rounded to whole steps from -steps to steps."""
    return np.rint(normalise(values, scale) * steps).astype(np.int64)


def blend(value: float, background: RGB = WHITE, strength: float = 1.0) -> RGB:
    """The colour of a normalised score in [-1, 1], laid over a background with opacity |value| * strength."""
    colour, alpha = (SUPPORT if value > 0 else OPPOSE), min(1.0, abs(value)) * strength
    r, g, b = (round(c * alpha + back * (1 - alpha)) for c, back in zip(colour, background, strict=True))
    return r, g, b


def hexadecimal(colour: RGB) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
