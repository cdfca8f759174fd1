"""The grid of a picture's patches, counted from the convolution that makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor, nn

from ..model.encoder import Encoder
from ..results.tokens import Grid

_PREFIX = 16  # most tokens before the first patch that are taken for class tokens and registers
_COLOURS = 4  # most channels of a picture: convolutions of more lie deeper in the model
_Candidate = tuple[int, int, tuple[int, int]]
_MERGED = (2, 4, 8, 16, 32)  # patches that hierarchical models merge to one, in each direction


@dataclass(frozen=True)
class PatchConvolution:
    """The convolution that turns pixels into patches.

    Args:
        channels: it reads.
        kernel: (height, width) in pixels.
        stride: pixels from patch to patch.
        padding: pixels added at each side.
    """

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


def patch_convolution(model: nn.Module, encoder: Encoder) -> PatchConvolution | None:
    """The first convolution with a stride of the tower that holds the blocks; None where there is none."""
    convolutions = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    if not convolutions:
        return None
    block = encoder.blocks[0] if encoder.blocks else ""
    # of several towers the one that the blocks are in; max keeps the first of those that share as much of their name
    colours = [(name, m) for name, m in convolutions if m.in_channels <= _COLOURS]
    _, first = max(colours, key=lambda pair: _shared(pair[0], block)) if colours else convolutions[0]
    padding = (0, 0) if isinstance(first.padding, str) else (int(first.padding[0]), int(first.padding[1]))
    kernel, stride = first.kernel_size, first.stride
    return PatchConvolution(first.in_channels, (kernel[0], kernel[1]), (stride[0], stride[1]), padding)


def grid(pixels: Tensor, encoder: Encoder, tokens: int, convolution: PatchConvolution | None) -> Grid:
    """The patch grid of images that became `tokens` tokens; one row where no grid fits.

    A convolution without padding leaves (H - kernel) // stride + 1 rows and drops the pixels after them. A model that
    pads its pictures makes ceil(H / stride) rows. What is left of the tokens stands before the patches.

    Args:
        pixels: [B,C,H,W].
        encoder: of known families it tells the patch and the tokens before the patches.
        tokens: that the blocks really saw.
        convolution: that makes the patches, or None.
    """
    sizes = int(pixels.shape[-2]), int(pixels.shape[-1])
    fitting = [
        Grid(rows, columns, prefix, *cell)
        for rows, columns, cell in _candidates(sizes, encoder, convolution)
        if 0 <= (prefix := tokens - rows * columns) <= _PREFIX or prefix == encoder.prefix
    ]
    matching = [fit for fit in fitting if fit.prefix == encoder.prefix]
    if matching or fitting:
        return min(matching or fitting, key=lambda fit: fit.prefix)
    if convolution is not None and encoder.patch is None:
        merged = [Grid(r, c, tokens - r * c, *cell) for r, c, cell in _merged(_candidates(sizes, encoder, convolution))]
        return next((fit for fit in merged if fit.prefix in (0, 1)), Grid(1, tokens, 0))
    return _square(sizes, encoder, tokens)


def _candidates(sizes: tuple[int, int], encoder: Encoder, convolution: PatchConvolution | None) -> list[_Candidate]:
    """(rows, columns, pixels a patch) that a picture may become: what does not fill a patch dropped, or filled up."""
    if encoder.patch is not None:
        kernel = stride = encoder.patch
        padding = (0, 0)
    elif convolution is not None:
        kernel, stride, padding = convolution.kernel, convolution.stride, convolution.padding
    else:
        return []
    cut = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True)]
    filled = [-(-n // s) for n, s in zip(sizes, stride, strict=True)]
    return [(rows, columns, stride) for rows, columns in (cut, filled) if rows > 0 and columns > 0]


def _merged(finest: list[_Candidate]) -> list[_Candidate]:
    """The same of the later stages of a model that merges its patches, of which it drops or fills up what is left."""
    return [
        (made(rows / m), made(columns / m), (height * m, width * m))
        for m in _MERGED
        for made in (math.ceil, math.floor)
        for rows, columns, (height, width) in finest
    ]


def _square(sizes: tuple[int, int], encoder: Encoder, tokens: int) -> Grid:
    """As many rows as columns, where the picture is square and nothing else is known."""
    for prefix in dict.fromkeys((encoder.prefix, 1, 0, 2)) if sizes[0] == sizes[1] else ():
        side = math.isqrt(max(tokens - prefix, 0))
        if side and side * side == tokens - prefix:
            return Grid(side, side, prefix, *((sizes[0] // side,) * 2 if sizes[0] % side == 0 else ()))
    return Grid(1, tokens, 0)


def _shared(name: str, other: str) -> int:
    """How many leading parts two dotted names have in common."""
    parts = zip(name.split("."), other.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))
