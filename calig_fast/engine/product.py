"""Products of packed rows with a block's weights, by the fastest library that PyTorch brings."""

from __future__ import annotations

import torch
from torch import Tensor

from ..encoder import Affine

# oneDNN makes code for every new number of rows, which takes it 0.3 to 0.9 ms; from here on that is within a tenth of
# the product (384 by 1536, one thread of a Zen 4).
ONEDNN_ROWS = 512


def affine(a: Affine, x: Tensor) -> Tensor:
    """x W^T + b of rows x [R,in]."""
    return _onednn(x, a.weight, a.bias) if _by_onednn(x) else torch.nn.functional.linear(x, a.weight, a.bias)


def pulled(a: Affine, g: Tensor) -> Tensor:
    """The gradient of `affine`'s rows, g W, of g [R,out]."""
    return _onednn(g, a.weight.T, None) if _by_onednn(g) else g @ a.weight


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _by_onednn(x: Tensor) -> bool:
    """Whether oneDNN is asked: float32 on a CPU with AVX-512, where PyTorch's own choice is MKL.

    One thread of a Zen 4, [1024, 384] by [384, 1536] and back: 105 to 109 GFLOP/s, MKL 96 to 101. Held to AVX2, MKL is
    as fast forward and faster on the way back. In bfloat16 PyTorch takes oneDNN itself.
    """
    return bool(
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and len(x) >= ONEDNN_ROWS
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.enabled
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )
