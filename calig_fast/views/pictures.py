"""The pixels under a patch grid, the heat over it, and PNG files as data URIs: a page needs no image library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from ..results.attribution import Attribution
from .colours import OPPOSE, SUPPORT, levels

STEPS = 127
_GREY = 128
STRIPES = 28  # across the longer side of a map
FAINT = 0.35  # of the opacity, on the stripes of what opposes


def smooth(scores: NDArray[np.float64], zoom: int) -> NDArray[np.float64]:
    """Patch scores [rows, columns] interpolated (bicubic) to `zoom` pixels a patch: the scores, not their colours."""
    if zoom == 1:
        return scores
    plane = torch.from_numpy(np.nan_to_num(scores))[None, None]
    return np.asarray(interpolate(plane, scale_factor=zoom, mode="bicubic", align_corners=False)[0, 0].numpy())


def hatched(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores of pixels with stripes across what opposes, which can so be told from what supports without colour."""
    rows, columns = scores.shape
    place = np.add.outer(np.arange(rows), np.arange(columns)) * STRIPES
    stripe = place % (2 * max(rows, columns)) < max(rows, columns)
    return np.where(stripe & (scores < 0), FAINT * scores, scores)


def covered(attribution: Attribution, index: int) -> NDArray[np.uint8] | None:
    """The pixels [H,W,3] that the patches of an image cover, None where there are no pixels.

    What the model does not read is cut off at the right and below; what it filled up is grey.
    """
    if attribution.images is None:
        return None
    pixels: NDArray[np.uint8] = attribution.images[index].cpu().numpy()
    grid = attribution.grid
    if grid is None or grid.height is None or grid.width is None:
        return pixels
    size = grid.rows * grid.height, grid.columns * grid.width
    pixels = pixels[: size[0], : size[1]]
    more = [(0, n - m) for n, m in zip(size, pixels.shape, strict=False)]
    return np.pad(pixels, [*more, (0, 0)], constant_values=_GREY)


def covered_size(attribution: Attribution) -> str:
    """How much of the image the patches cover, where that is not all of it; else nothing."""
    grid, images = attribution.grid, attribution.images
    if images is None or grid is None or grid.height is None or grid.width is None:
        return ""
    height, width = grid.rows * grid.height, grid.columns * grid.width
    if (height, width) == tuple(images.shape[1:3]):
        return ""
    return f"patches cover {height} x {width} of {images.shape[1]} x {images.shape[2]} pixels"


def photograph(pixels: NDArray[np.uint8]) -> str:
    """A colour image [H,W,3] uint8 as a data URI."""
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, width * 3)
    # Each byte less its left neighbour of the same colour (PNG filter 1): photographs shrink by a third or more.
    rows = np.concatenate([rows[:, :3], rows[:, 3:] - rows[:, :-3]], axis=1)
    return _uri(width, height, rows, kind=2, rule=1)


def heat(scores: NDArray[np.float64], scale: float, zoom: int = 1) -> str:
    """Signed scores [rows, columns] as a data URI: colour is the sign, opacity is |score| / scale.

    Args:
        scores: natural scale; values that are not finite are transparent.
        scale: magnitude drawn opaque.
        zoom: pixels a score in each direction; above 1, what opposes is striped.
    """
    scores = smooth(scores, zoom)
    if zoom > 1:
        scores = hatched(np.clip(np.nan_to_num(scores), -scale, scale))
    rows = (levels(scores, scale, STEPS) + STEPS).astype(np.uint8)
    steps = range(-STEPS, STEPS + 1)
    palette = bytes(c for s in steps for c in (SUPPORT if s > 0 else OPPOSE))
    alpha = bytes(round(255 * abs(s) / STEPS) for s in steps)
    return _uri(
        rows.shape[1], rows.shape[0], rows, kind=3, rule=0, extra=_chunk(b"PLTE", palette) + _chunk(b"tRNS", alpha)
    )


def strip(scores: NDArray[np.float64], scale: float, cells: int) -> str:
    """Scores in reading order as a line of colour and a data URI: supporting ones above, opposing ones below.

    Args:
        scores: [N] natural scale.
        scale: magnitude drawn opaque.
        cells: of the line at most; a cell has the strongest score of each side in its stretch.
    """
    parts = np.array_split(np.nan_to_num(scores), min(len(scores), cells)) if len(scores) else [np.zeros(1)]
    return heat(np.array([[p.max(initial=0.0) for p in parts], [p.min(initial=0.0) for p in parts]]), scale)


def _uri(width: int, height: int, rows: NDArray[np.uint8], *, kind: int, rule: int, extra: bytes = b"") -> str:
    lines = np.concatenate([np.full((height, 1), rule, dtype=np.uint8), rows], axis=1).tobytes()
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + extra + _chunk(b"IDAT", zlib.compress(lines, 9)) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
