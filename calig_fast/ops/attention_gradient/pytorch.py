"""attention_gradient in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from ..attention_forward.pytorch import logits


def supports(*tensors: Tensor) -> str | None:
    """Takes everything."""
    return None


def of_segment(
    g: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    positive: bool,
    bias: Tensor | None,
    relative: Tensor | None,
    band: tuple[int, int],
) -> Tensor:
    """P (.) dP, or its positive part, in the mean of the heads: [T,T] of [H,T,E]."""
    product = logits(q, k, scale, bias, relative, band).softmax(-1) * (g @ v.mT)
    return (product.clamp_min(0) if positive else product).mean(0)


def attention_gradient(
    gradient: Tensor,
    qkv: Tensor,
    lse: Tensor,
    offsets: Tensor,
    longest: int,
    scale: float,
    positive: bool = False,
    tf32: bool = False,
    bias: Tensor | None = None,
    relative: Tensor | None = None,
    before: int = -1,
    after: int = -1,
) -> Tensor:
    """The definition, one segment at a time, in float32 at least."""
    maps = lse.new_zeros((len(offsets) - 1, longest, longest))
    for s, (first, last) in enumerate(pairwise(offsets.tolist())):
        q, k, v = qkv[first:last].permute(1, 2, 0, 3).to(lse.dtype)
        g = gradient[first:last].transpose(0, 1).to(lse.dtype)
        maps[s, : last - first, : last - first] = of_segment(
            g, q, k, v, scale, positive, bias, relative, (before, after)
        )
    return maps
