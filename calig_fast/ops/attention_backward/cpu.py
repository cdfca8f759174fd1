"""attention_backward by PyTorch's fused attention of the CPU; the maps, which it does not give, by their definition."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..attention_gradient.reference import of_segment
from ..cpu import refusal

_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal(tensors)


def attention_backward(
    gradient: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    maps: int = 0,
    positive: bool = False,
) -> tuple[Tensor, Tensor]:
    """One call a segment, in float32 at least."""
    found = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    # the kernels read a head's columns, and the sums, as if they lay side by side
    gradient, qkv, out = (x.to(lse.dtype).contiguous() for x in (gradient, qkv, out))
    kept = lse.new_zeros((maps, longest, longest))
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        if first == last:
            continue
        here = slice(first, last)
        q, k, v = qkv[here].permute(1, 2, 0, 3).unsqueeze(1)
        g, o = gradient[here].transpose(0, 1)[None], out[here].transpose(0, 1)[None]
        grads = _backward(g, q, k, v, o, lse[:, here].contiguous()[None], 0.0, False, scale=scale)
        found[here] = torch.cat(grads).permute(2, 0, 1, 3)
        if s < maps:
            kept[s, : last - first, : last - first] = of_segment(g[0], q[0], k[0], v[0], scale, positive)
    return found, kept
