"""attention_gradient in Triton: the kernel that attention_backward makes its maps with."""

from __future__ import annotations

from torch import Tensor

from ..attention_backward.triton import launch_maps, supports

__all__ = ["attention_gradient", "supports"]


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
) -> Tensor:
    """No map is held but those asked for; float32 is multiplied exactly."""
    gradient, qkv, lse, offsets = (x.contiguous() for x in (gradient, qkv, lse, offsets))
    maps = lse.new_empty((len(offsets) - 1, longest, longest))
    launch_maps(gradient, qkv, lse, offsets, maps, scale, positive, bias)
    return maps
