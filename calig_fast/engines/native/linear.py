"""Products of packed rows with a block's weights."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ... import ops
from ...model.encoder import Affine
from ...ops.dispatch import requested_backend
from ...ops.linear.spec import DTYPES

# Rows of a piece. 24 texts of as many lengths through a MiniLM in bfloat16 left 840 MiB with the process when every
# number of rows was a product of its own, in pieces 320 MiB, and took as long or up to a tenth less (Zen 4, 1 thread).
# With pieces above 128 rows of any size, twelve texts at a budget of 256 MiB took 60 MiB more, and 3 % less time.
TILE = 4096


def affine(a: Affine, x: Tensor, residual: Tensor | None = None, backend: str = "auto") -> Tensor:
    """x W^T + b + residual of rows x [R,in]."""
    if by_ours(x, backend):
        return ops.linear(x, a.weight, a.bias, residual, backend="cpu")
    product = _in_tiles(x, a.weight.T, a.bias) if by_onednn(x) else torch.nn.functional.linear(x, a.weight, a.bias)
    return product if residual is None else product.add_(residual)


def linear_backward(a: Affine, g: Tensor, residual: Tensor | None = None, backend: str = "auto") -> Tensor:
    """The gradient of `affine`'s rows, g W + residual, of g [R,out]; it may be written into `residual`."""
    if by_ours(g, backend):
        return ops.linear(g, a.weight, None, residual, backward=True, backend="cpu")
    if residual is not None and not by_onednn(g):
        return residual.addmm_(g, a.weight)
    product = _in_tiles(g, a.weight, None) if by_onednn(g) else g @ a.weight
    return product if residual is None else product.add_(residual)


def by_ours(x: Tensor, backend: str) -> bool:
    """Return True if our own product is the fastest available, or the requested one."""
    if x.device.type != "cpu" or x.dtype not in DTYPES or torch.is_grad_enabled():
        return False
    wanted = requested_backend(backend)
    return wanted == "cpu" or (wanted == "auto" and _mkl_is_narrow())


@cache
def _mkl_is_narrow() -> bool:
    """Return True if PyTorch's product uses half of a vector: MKL uses AVX-512 only on Intel's processors."""
    module = ops.extension().module
    built = {} if module is None else module.build_info()
    return built.get("isa") == "avx512" and not built["intel"] and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]


def by_onednn(x: Tensor) -> bool:
    """Return True if PyTorch uses oneDNN, which compiles and keeps code for every new number of rows."""
    return x.dtype in (torch.bfloat16, torch.float16) and x.device.type == "cpu" and not torch.is_grad_enabled()


def _in_tiles(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W + b, in pieces of few sizes: tile by tile, and the rest in powers of two."""
    rows, out = len(x), x.new_empty((len(x), weight.shape[1]))
    parts = [rows % TILE & 1 << bit for bit in range(TILE.bit_length() - 1)]
    sizes = [TILE] * (rows // TILE) + [n for n in parts if n]
    for piece, place in zip(torch.split(x, sizes), torch.split(out, sizes), strict=True):
        if bias is None:
            torch.mm(piece, weight, out=place)
        else:
            torch.addmm(bias, piece, weight, out=place)
    return out
