"""Attention maps and their gradients, read while the model's own attention runs.

The maps are caught where PyTorch computes them, in `scaled_dot_product_attention` or in `softmax`, so any model that
attends through either is read the same way and nothing of it is changed. With O = A V, dF/dA = dO V^T, so a fused
attention's gradient needs no map from the kernel.
"""

from __future__ import annotations

import functools
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
        watched: the tensor of the graph whose gradient is wanted: O [...,T,Dh] or A [...,T,U], [N,H,T,U] or [N*H,T,U]
            where it is of all tokens.
        parts: (q, k, v, additive or boolean mask or None, scale) of a fused call; None where `watched` is A itself.
        logits: gives tensors of the shape of A that depend on the tokens as its logits do; None where nothing can.
        kept: the first column of A that is a token, and the first after them.
    """

    watched: Tensor
    parts: tuple[Tensor, Tensor, Tensor, Tensor | None, float] | None = None
    logits: Callable[[], Tensor] | None = None
    kept: tuple[int, int | None] = (0, None)

    @property
    def shape(self) -> torch.Size:
        """The shape of A [...,T,U]."""
        if self.parts is None:
            return self.watched.shape
        return torch.Size((*self.watched.shape[:-1], self.parts[1].shape[-2]))

    def of_tokens(self, hidden: Tensor) -> bool:
        """Return True if the map relates every token of a block to every other.

        Maps over windows, pooled or added keys have other sizes. A map over channels may have as many as there are
        tokens; one entry of it then depends on all of them, and not on two.

        Args:
            hidden: [N,T,D], what the block received.
        """
        rows, tokens, width = hidden.shape
        lead, size = self.shape[:-2], self.shape[-2:]
        by_rows = lead[0] == rows if len(lead) == 2 else len(lead) == 1 and lead[0] % rows == 0 and self.parts is None
        if size != (tokens, tokens) or not by_rows:
            return False
        if (len(lead) == 1 or lead[1] == rows) and not self.rows_apart(hidden):
            return False
        return width % tokens != 0 or tokens < 5 or not self._reads_all(hidden)

    def _reads_all(self, hidden: Tensor) -> bool:
        """Return True where the logits of two keys, as one query has them, depend on every token."""
        gradient = self._read(hidden, 0)
        if gradient is None:
            return False
        sizes = gradient[0].norm(dim=-1)
        return bool((sizes > 100 * torch.finfo(sizes.dtype).eps * sizes.max()).all())

    def rows_apart(self, hidden: Tensor) -> bool:
        """Return True if the first map reads the first input alone, and the last the last.

        Heads may be as many as inputs, and a map of positions [H,T,T] reads none.
        """
        if not hidden.requires_grad or not torch.is_grad_enabled() or self.shape[-1] < 2:
            return True
        first, last = self._read(hidden, 0), self._read(hidden, -1)
        return first is not None and last is not None and not bool(first[1:].any()) and not bool(last[:-1].any())

    def _read(self, hidden: Tensor, which: int) -> Tensor | None:
        """The gradient of two logits' difference, of one query in the map `which` of all, to the tokens."""
        if not self.watched.requires_grad or not hidden.requires_grad:
            return None
        if self.parts is None:
            pair = self.watched.flatten(0, -3)[which, -1, :2].clamp_min(torch.finfo(self.watched.dtype).tiny).log()
            value = pair[0] - pair[1]
        else:
            query, key = (
                part.expand(*self.shape[:-2], *part.shape[-2:]).flatten(0, -3)[which] for part in self.parts[:2]
            )
            value = (query[-1] * (key[0] - key[1])).sum()
        return torch.autograd.grad(value, hidden, retain_graph=True, allow_unused=True)[0]

    def products(self, which: Tensor | slice, gradient: Tensor | None, kind: MapKind) -> Tensor:
        """The parts of a map, before its heads are reduced.

        Args:
            which: of the M maps, all axes but the last two flattened.
            gradient: dF/d watched, or None for kind "attention".
            kind: "gradient" A (.) dF/dA; "positive_gradient" max(0, A (.) dF/dA); "attention" A.

        Returns:
            [m,T,U] float32 (float64 where the model runs in float64).
        """
        wide = torch.float64 if self.watched.dtype == torch.float64 else torch.float32
        attention = self._probabilities(which, wide)
        if kind == "attention":
            return attention[..., slice(*self.kept)]
        if gradient is None:
            raise RuntimeError("a gradient map was asked for without the gradient")
        slope = gradient.flatten(0, -3)[which].to(wide)
        if self.parts is not None:
            slope = slope @ self._part(2, which).to(wide).transpose(-1, -2)
        product = (attention * slope)[..., slice(*self.kept)]
        return product.clamp_min(0) if kind == "positive_gradient" else product

    def unread(self, gradient: Tensor) -> Tensor:
        """[U] bool, the columns of A that the output depends on in no way, as a gradient of it to `watched` tells."""
        slope = gradient if self.parts is None else gradient @ self.parts[2].transpose(-1, -2)
        return (slope == 0).flatten(0, -2).all(0)

    def _part(self, index: int, which: Tensor | slice) -> Tensor:
        """q, k or v of some of the maps."""
        part = self.watched if self.parts is None else self.parts[:3][index]
        # one head of keys may serve all heads of queries
        return part.detach().expand(*self.shape[:-2], *part.shape[-2:]).flatten(0, -3)[which]

    def _probabilities(self, which: Tensor | slice, wide: torch.dtype) -> Tensor:
        if self.parts is None:
            return self._part(0, which).to(wide)
        mask, scale = self.parts[3:]
        logits = (self._part(0, which).to(wide) * scale) @ self._part(1, which).to(wide).transpose(-1, -2)
        if mask is not None:
            m = mask.expand(self.shape).flatten(0, -3)[which]
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
        if func is _MULTI_HEAD:
            out, weights = _with_weights(args, kwargs)
            # what the values are multiplied with; the weights handed out are a view of it, aside from the output
            base = weights if weights._base is None else weights._base
            self._seen(Attention(base, logits=functools.partial(_alike, args, kwargs)))
            return out, _weights_asked(weights, args, kwargs)
        out = func(*args, **kwargs)
        if func is _SDPA:
            parts = _parts(*args, **kwargs)
            self._seen(Attention(out, parts, lambda: parts[0] @ parts[1].transpose(-1, -2)))
        elif func in _SOFTMAX and out.dim() > 2 and _over_keys(out, args, kwargs):
            logits = args[0] if args else kwargs["input"]
            self._seen(Attention(out, logits=lambda: logits))
        return out


class Plain(TorchFunctionMode):
    """Replaces fused attention by its definition, which can be differentiated twice, and part by part."""

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
        if mask is None:
            return torch.softmax(logits, -1) @ v
        if mask.dtype != torch.bool:
            return torch.softmax(logits + mask, -1) @ v
        # a query that reads no key gives zeros
        attention = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), -1)
        return attention.masked_fill(~mask.any(-1, keepdim=True), 0.0) @ v


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


def _alike(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A product of queries and keys that depends on the tokens as the logits [N*H,T,U] of several heads do."""
    bound = _MULTI_HEAD_ARGUMENTS.bind(*args, **kwargs).arguments
    generator = torch.Generator().manual_seed(0)
    query, key = (
        bound[name] @ torch.randn(bound[name].shape[-1], generator=generator).to(bound[name])
        for name in ("query", "key")
    )
    product: Tensor = query.transpose(0, -1)[..., None] * key.transpose(0, -1)[..., None, :]
    return product.repeat_interleave(bound["num_heads"], 0)


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
