"""Noisy linear imputation: removed pixels made from their neighbours, the removal of ROAD."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

NOISE = 0.01  # standard deviation, in the units of the pixels that the model reads, as in the authors' code
DIRECT, DIAGONAL = 1 / 6, 1 / 12
TOLERANCE = 1e-7  # of the residual, relative to the right hand side and the start


def noisy_linear(pixels: Tensor, gone: Tensor) -> Tensor:
    """Images in which each removed pixel is the weighted mean of its neighbours, removed ones among them, plus noise.

    x_i = sum_j w_ij x_j / sum_j w_ij over the up to 8 neighbours j, w = 1/6 beside and 1/12 across (Rong et al. 2022).
    The system is symmetric and positive definite, and is solved by conjugate gradients, all images at once. The noise
    of a pixel depends on its place alone, so that the sets of a call may run in any batches.

    Args:
        pixels: [N,C,H,W].
        gone: [N,1,H,W] bool, the removed pixels; an image with none left takes its own mean.

    Returns:
        [N,C,H,W].
    """
    wide = pixels.double()
    removed, left = gone.double(), (~gone).double()
    weights = wide.new_tensor([DIAGONAL, DIRECT, DIAGONAL])
    kernel = torch.stack([weights, wide.new_tensor([DIRECT, 0.0, DIRECT]), weights])[None, None]
    sums = _around(torch.ones_like(removed[:1]), kernel)

    def system(x: Tensor) -> Tensor:
        return removed * (sums * x - _around(removed * x, kernel))

    some = left.sum((2, 3), keepdim=True)
    mean = torch.where(
        some > 0, (wide * left).sum((2, 3), keepdim=True) / some.clamp_min(1), wide.mean((2, 3), keepdim=True)
    )
    solved = _conjugate_gradients(system, removed * _around(left * wide, kernel), removed * mean)
    noise = torch.randn(pixels.shape[1:], generator=torch.Generator().manual_seed(0)).to(pixels.device)
    return torch.where(gone, (solved + NOISE * noise).to(pixels.dtype), pixels)


def _around(x: Tensor, kernel: Tensor) -> Tensor:
    """The weighted sum of the neighbours of each pixel."""
    flat = x.flatten(0, 1)[:, None]
    return functional.conv2d(flat, kernel, padding=1).view(x.shape)


def _conjugate_gradients(system: Callable[[Tensor], Tensor], right: Tensor, start: Tensor) -> Tensor:
    """The x with system(x) = right, each channel of each image by itself."""
    x, residual = start, right - system(start)
    direction, size = residual, _dot(residual, residual)
    enough = TOLERANCE**2 * (_dot(right, right) + _dot(start, start))
    for _ in range(right.shape[2] * right.shape[3]):
        if bool((size <= enough).all()):
            break
        through = system(direction)
        step = size / _dot(direction, through).clamp_min(torch.finfo(x.dtype).tiny)
        x, residual = x + step * direction, residual - step * through
        smaller = _dot(residual, residual)
        direction = residual + smaller / size.clamp_min(torch.finfo(x.dtype).tiny) * direction
        size = smaller
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
