"""Attention maps and their gradients, read while the model's own attention runs.

The maps are caught where PyTorch computes them, in `scaled_dot_product_attention` or in `softmax`, so any model that
attends through either is read the same way and nothing of it is changed. With O = A V, dF/dA = dO V^T, so a fused
attention's gradient needs no map from the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MapKind = Literal["gradient", "positive_gradient", "attention"]

_SOFTMAX = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)
_SDPA = torch.nn.functional.scaled_dot_product_attention


@dataclass(frozen=True)
class Attention:
    """One attention call: its output (fused) or its map (eager), and what the map is made of.

    Args:
        watched: the tensor of the graph whose gradient is wanted: O [N,H,T,Dh] or A [N,H,T,U].
        parts: (q, k, v, additive or boolean mask or None, scale) of a fused call; None where `watched` is A itself.
    """

    watched: Tensor
    parts: tuple[Tensor, Tensor, Tensor, Tensor | None, float] | None = None

    def map(self, row: int, gradient: Tensor | None, kind: MapKind) -> Tensor:
        """One input's map, reduced over the heads.

        Args:
            row: which row of the batch.
            gradient: dF/d watched, or None for kind "attention".
            kind: "gradient" mean_h A (.) dF/dA; "positive_gradient" mean_h max(0, A (.) dF/dA); "attention" mean_h A.

        Returns:
            [T,U] float32 (float64 where the model runs in float64).
        """
        wide = torch.float64 if self.watched.dtype == torch.float64 else torch.float32
        attention = self._probabilities(row, wide)
        if kind == "attention":
            return attention.mean(0)
        if gradient is None:
            raise RuntimeError("a gradient map was asked for without the gradient")
        slope = gradient[row].to(wide)
        if self.parts is not None:
            slope = slope @ self.parts[2][row].detach().to(wide).transpose(-1, -2)
        return over_heads(attention * slope, kind)

    def _probabilities(self, row: int, wide: torch.dtype) -> Tensor:
        if self.parts is None:
            return self.watched[row].detach().to(wide)
        q, k, _, mask, scale = self.parts
        logits = (q[row].detach().to(wide) * scale) @ k[row].detach().to(wide).transpose(-1, -2)
        if mask is not None:
            m = mask.expand(q.shape[0], *mask.shape[1:])[row] if mask.dim() == 4 else mask
            logits = logits.masked_fill(~m, -torch.inf) if m.dtype == torch.bool else logits + m.to(wide)
        return torch.softmax(logits, -1).nan_to_num(0.0)


def over_heads(product: Tensor, kind: MapKind) -> Tensor:
    """A (.) dF/dA [H,...] reduced over the heads, as `Attention.map` says for a gradient's kind."""
    return (product.clamp_min(0) if kind == "positive_gradient" else product).mean(0)


class Reader(TorchFunctionMode):
    """Catches the attention calls made under it and hands each to `seen`.

    Args:
        seen: called with every `Attention`, in order.
    """

    def __init__(self, seen: Callable[[Attention], None]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is _SDPA:
            self._seen(Attention(out, _parts(*args, **kwargs)))
        elif func in _SOFTMAX and out.dim() == 4 and out.shape[-1] == out.shape[-2]:
            self._seen(Attention(out))
        return out


class Plain(TorchFunctionMode):
    """Replaces fused attention by its definition, which can be differentiated twice."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not _SDPA:
            return func(*args, **kwargs)
        q, k, v, mask, scale = _parts(*args, **kwargs)
        logits = (q * scale) @ k.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
        return torch.softmax(logits, -1) @ v


def _parts(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, float]:
    if enable_gqa:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    return query, key, value, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale
