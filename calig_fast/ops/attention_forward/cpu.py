"""attention_forward by PyTorch's fused attention of the CPU."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..cpu import refusal


def supports(*tensors: Tensor) -> str | None:
    """CPU tensors of the operation's dtypes."""
    return refusal(tensors)


def attention_forward(qkv: Tensor, offsets: Tensor, longest: int, scale: float) -> tuple[Tensor, Tensor]:
    """One call a segment, in float32 at least: in bfloat16 the log-sums are as rough as the rows."""
    rows, _, heads, size = qkv.shape
    out = qkv.new_empty((rows, heads, size))
    # the kernel reads a head's columns as if they lay side by side
    qkv = qkv.to(torch.promote_types(qkv.dtype, torch.float32)).contiguous()
    lse = qkv.new_empty((heads, rows))
    for first, last in pairwise(offsets.tolist()):
        if first < last:
            q, k, v = qkv[first:last].permute(1, 2, 0, 3).unsqueeze(1)
            found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, False, scale=scale)
            out[first:last] = found[0][0].transpose(0, 1)
            lse[:, first:last] = found[1][0]
    return out, lse
