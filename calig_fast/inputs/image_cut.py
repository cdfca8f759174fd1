"""Pictures that come as patches already cut [B,N,P], with the rows and columns of each, as SigLIP 2 reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..results.tokens import Grid

PIXELS, SHAPES = "pixel_values", "spatial_shapes"


@dataclass(frozen=True)
class Cut:
    """The places of patches in their picture; the same for all pictures of a batch.

    A patch holds its pixels row by row, the channels of a pixel beside each other.

    Args:
        rows: patches from top to bottom.
        columns: patches from left to right.
        side: of a patch, in pixels.
        channels: of a pixel.
        places: N, patches and padding after them.
    """

    rows: int
    columns: int
    side: int
    channels: int
    places: int

    @property
    def grid(self) -> Grid:
        """The grid of the patches; padding is its suffix."""
        count = self.rows * self.columns
        return Grid(self.rows, self.columns, 0, self.side, self.side, self.places - count)

    def pictures(self, patches: Tensor) -> Tensor:
        """[B,N,P] as pixels [B,C,H,W]."""
        cells = patches[:, : self.rows * self.columns].reshape(
            -1, self.rows, self.columns, self.side, self.side, self.channels
        )
        return cells.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def patches(self, pixels: Tensor, like: Tensor) -> Tensor:
        """Pixels [B,C,H,W] as [B,N,P], padded as `like` [B,N,P] is."""
        cells = pixels.reshape(-1, self.channels, self.rows, self.side, self.columns, self.side)
        cells = cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        return torch.cat([cells, like[:, self.rows * self.columns :]], 1)


def are_patches(call: Mapping[str, Any]) -> bool:
    """Return True where the pixels are patches [B,N,P], and their rows and columns are told."""
    pixels, shapes = call.get(PIXELS), call.get(SHAPES)
    return isinstance(pixels, Tensor) and pixels.dim() == 3 and isinstance(shapes, Tensor) and shapes.dim() == 2


def cut_of(call: Mapping[str, Any], channels: int) -> Cut:
    """The places of patches that are cut already.

    Args:
        call: pixel_values [B,N,P], spatial_shapes [B,2], and a mask [B,N] where there is padding.
        channels: of a pixel.

    Raises:
        TypeError: patches of ints.
        ValueError: an empty batch, NaN or infinity, pictures of several shapes, more patches than places, patches that
            are no squares of pixels, or a mask that shows other patches.
    """
    patches, shapes = call[PIXELS], call[SHAPES]
    if not patches.is_floating_point():
        raise TypeError(f"inputs: expected patches [B,N,P] in floating point, got a {patches.dtype} tensor")
    if not patches.numel():
        raise ValueError(f"inputs: the batch is empty (shape {list(patches.shape)}); pass at least one image")
    if shapes.shape != (len(patches), 2) or not bool((shapes == shapes[:1]).all()):
        raise ValueError(
            f"inputs: {SHAPES} is {shapes.tolist()}; expected the rows and columns of each of {len(patches)} pictures, "
            "the same for all: explain pictures of several shapes one shape at a time"
        )
    rows, columns = (int(n) for n in shapes[0])
    places = patches.shape[1]
    side = math.isqrt(patches.shape[2] // channels)
    if rows < 1 or columns < 1 or rows * columns > places or side * side * channels != patches.shape[2]:
        raise ValueError(
            f"inputs: {SHAPES} says {rows} x {columns} patches, and {PIXELS} is {list(patches.shape)}; expected at "
            f"least as many places, and squares of pixels with {channels} channels"
        )
    real = torch.arange(places, device=patches.device) < rows * columns
    for name, value in call.items():
        mask = isinstance(value, Tensor) and value.shape == patches.shape[:2] and "mask" in name
        if mask and not bool(((value != 0) == real).all()):
            raise ValueError(f"inputs: {name} does not show the {rows} x {columns} patches that {SHAPES} tells")
    finite = torch.isfinite(patches).flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"inputs: the patches hold NaN or infinity, in picture {(~finite).nonzero().flatten().tolist()}; mend it, "
            "or leave it out"
        )
    return Cut(rows, columns, side, channels, places)


def channels_read(model: nn.Module) -> int:
    """Channels of a pixel, as a model's settings tell; three where they do not."""
    config = getattr(model, "config", None)
    counts = (getattr(c, "num_channels", None) for c in (getattr(config, "vision_config", None), config))
    return next((n for n in counts if isinstance(n, int) and n > 0), 3)
