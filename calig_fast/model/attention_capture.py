"""Attention maps and their gradients, read while the model's own attention runs.

The maps are caught where PyTorch computes them, in `scaled_dot_product_attention` or in `softmax`, so any model that
attends through either is read the same way and nothing of it is changed. With O = A V, dF/dA = dO V^T, so a fused
attention's gradient needs no map from the kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MapKind = Literal["gradient", "positive_gradient", "attention"]

_SOFTMAX = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)
_SDPA = torch.nn.functional.scaled_dot_product_attention
_MULTI_HEAD = torch.nn.functional.multi_head_attention_forward
_MULTI_HEAD_ARGUMENTS = inspect.signature(_MULTI_HEAD)


@dataclass(frozen=True)
class Attention:
    """One attention call: its output (fused) or its map (eager), and what the map is made of.

    Args:
        watched: the tensor of the graph whose gradient is wanted: O [N,H,T,Dh] or A [N,H,T,U], or [N*H,T,U].
        parts: (q, k, v, additive or boolean mask or None, scale) of a fused call; None where `watched` is A itself.
        rows: N.
    """

    watched: Tensor
    parts: tuple[Tensor, Tensor, Tensor, Tensor | None, float] | None = None
    rows: int = 1

    def of_tokens(self, hidden: Tensor) -> bool:
        """Return True if the map relates every token of a block to every other.

        Maps over windows, pooled or added keys have other sizes. A map over channels may have as many as there are
        tokens; one entry of it then depends on all of them, and not on two.

        Args:
            hidden: [N,T,D], what the block received.
        """
        rows, tokens, width = hidden.shape
        if self.parts is None:
            first, size = self.watched.shape[0], self.watched.shape[-2:]
            heads_apart = first == rows if self.watched.dim() == 4 else first % rows == 0
        else:
            query, key = self.parts[:2]
            size, heads_apart = torch.Size((query.shape[-2], key.shape[-2])), query.dim() == 4 and len(query) == rows
        if size != (tokens, tokens) or not heads_apart:
            return False
        return width % tokens != 0 or tokens < 5 or not self._reads_all(hidden)

    def _reads_all(self, hidden: Tensor) -> bool:
        """Return True where the logits of two keys, as one query has them, depend on every token."""
        if not self.watched.requires_grad or not hidden.requires_grad:
            return False
        if self.parts is None:
            pair = self.watched.flatten(0, -3)[0, -1, :2].clamp_min(torch.finfo(self.watched.dtype).tiny).log()
            value = pair[0] - pair[1]
        else:
            query, key = self.parts[:2]
            value = (query[0, 0, -1] * (key[0, 0, 0] - key[0, 0, 1])).sum()
        found = torch.autograd.grad(value, hidden, retain_graph=True, allow_unused=True)[0]
        if found is None:
            return False
        sizes = found[0].norm(dim=-1)
        return bool((sizes > 100 * torch.finfo(sizes.dtype).eps * sizes.max()).all())

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
        slope = self._row(gradient, row).to(wide)
        if self.parts is not None:
            slope = slope @ self.parts[2][row].detach().to(wide).transpose(-1, -2)
        return over_heads(attention * slope, kind)

    def _row(self, maps: Tensor, row: int) -> Tensor:
        """One input's share [H,T,.] of the maps or of their gradient."""
        if maps.dim() == 4:
            return maps[row]
        heads = len(maps) // self.rows
        return maps[row * heads : (row + 1) * heads]

    def _probabilities(self, row: int, wide: torch.dtype) -> Tensor:
        if self.parts is None:
            return self._row(self.watched, row).detach().to(wide)
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
        rows: N.
    """

    def __init__(self, seen: Callable[[Attention], None], rows: int) -> None:
        super().__init__()
        self._seen, self._rows = seen, rows

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _MULTI_HEAD:
            out, weights = _with_weights(args, kwargs)
            # what the values are multiplied with; the weights handed out are a view of it, aside from the output
            self._seen(Attention(weights if weights._base is None else weights._base, rows=self._rows))
            return out, _weights_asked(weights, args, kwargs)
        out = func(*args, **kwargs)
        if func is _SDPA:
            self._seen(Attention(out, _parts(*args, **kwargs), self._rows))
        elif func in _SOFTMAX and out.dim() in {3, 4} and _over_keys(out, args, kwargs):
            self._seen(Attention(out, rows=self._rows))
        return out


class Plain(TorchFunctionMode):
    """Replaces fused attention by its definition, which can be differentiated twice."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _MULTI_HEAD:
            out, weights = _with_weights(args, kwargs)
            return out, _weights_asked(weights, args, kwargs)
        if func is not _SDPA:
            return func(*args, **kwargs)
        q, k, v, mask, scale = _parts(*args, **kwargs)
        logits = (q * scale) @ k.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
        return torch.softmax(logits, -1) @ v


def _over_keys(out: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return True where a softmax runs over the last axis."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim in {-1, out.dim() - 1}


def _with_weights(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The output of `multi_head_attention_forward` and its attention weights [N,H,T,U]."""
    bound = _MULTI_HEAD_ARGUMENTS.bind(*args, **kwargs)
    bound.arguments.update(need_weights=True, average_attn_weights=False)
    out, weights = _MULTI_HEAD(*bound.args, **bound.kwargs)
    if weights is None:
        raise RuntimeError("multi_head_attention_forward gave no weights though they were asked for")
    return out, weights


def _weights_asked(weights: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The weights as the caller asked for them."""
    bound = _MULTI_HEAD_ARGUMENTS.bind(*args, **kwargs)
    bound.apply_defaults()
    if not bound.arguments["need_weights"]:
        return None
    return weights.mean(-3) if bound.arguments["average_attn_weights"] else weights


def _parts(  # noqa: PLR0917 (PyTorch's signature)
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
