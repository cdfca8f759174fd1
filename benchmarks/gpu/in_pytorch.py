"""The operations in PyTorch's own batched calls, for comparison; indices and padding are made beforehand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from calig_fast.bench import operations as sized

from .clocks import there

Call = Callable[[], Any]
First = Callable[[Any], Tensor]


def in_pytorch(which: str, args: Any) -> tuple[Call, First | None]:
    """The call, and the function that makes our first result of its result, None where they are alike.

    Where the torch backend is such calls already, it is taken as it is.
    """
    ways: dict[str, Callable[..., tuple[Call, First]]] = {
        "interpolate_path": _interpolate,
        "accumulate_gradients": _accumulate,
        "attention_forward": _forward,
        "attention_gradient": _maps,
        "attention_backward": _backward,
        "fuse_rollout": _fuse,
    }
    run = sized.operation(which)
    if run.__name__ in ways:
        return ways[run.__name__](*args)
    return partial(run, *args, backend="torch"), None


def _rows_of(offsets: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The token of every row, and its segment."""
    bounds, chosen = offsets.tolist(), inputs.tolist()
    at = torch.cat([torch.arange(bounds[b], bounds[b + 1]) for b in chosen])
    return there(at), there(torch.arange(len(chosen)).repeat_interleave(offsets.diff().cpu()[inputs.cpu()]))


def _padded(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """[S,T]: the row of every place, and True where there is one."""
    lengths = offsets.diff()[:, None]
    step = torch.arange(int(lengths.max()), device=offsets.device)
    return offsets[:-1, None] + torch.minimum(step, lengths - 1), step < lengths


def _interpolate(start: Tensor, end: Tensor, offsets: Tensor, inputs: Tensor, *others: Any) -> tuple[Call, First]:
    at, segment = _rows_of(offsets, inputs)
    weight, before = others[0][segment, None].to(start.dtype), others[2:]
    return lambda: torch.cat([*before, torch.lerp(start[at], end[at], weight)]), lambda out: out


def _accumulate(
    gradients: list[Tensor], directions: list[Tensor], offsets: Tensor, inputs: Tensor, *others: Any
) -> tuple[Call, First]:
    at, segment = _rows_of(offsets, inputs)
    wide = torch.promote_types(gradients[0].dtype, torch.float32)
    scale, tokens, with_lig = others[0][segment].to(wide), len(directions[0]), others[1:2] == (True,)
    starts = others[2] if len(others) > 2 else None

    def call() -> Any:
        ways = directions if starts is None else torch._foreach_sub(directions, starts)
        phi = sum(torch.linalg.vecdot(g.to(wide), d[at].to(wide)) for g, d in zip(gradients, ways, strict=True))
        r = phi.new_zeros(tokens).index_add_(0, at, phi * scale)
        if not with_lig:
            return phi, r
        lig = phi.new_zeros(directions[0].shape).index_add_(0, at, gradients[0] * scale[:, None])
        return phi, r, lig * directions[0]

    return call, lambda out: out[0]


def _heads(qkv: Tensor, offsets: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
    """Return q, k and v [S,H,T,E], the mask of their rows, and the bias that hides the padding."""
    places, real = _padded(offsets)
    bias = None if bool(real.all()) else torch.where(real, 0.0, -torch.inf).to(qkv.dtype)[:, None, None]
    return [t.contiguous() for t in qkv[places].permute(2, 0, 3, 1, 4)], real, bias


def _forward(qkv: Tensor, offsets: Tensor, longest: int, scale: float) -> tuple[Call, First]:
    (q, k, v), real, bias = _heads(qkv, offsets)
    call = partial(functional.scaled_dot_product_attention, q, k, v, bias, scale=scale)
    return call, lambda out: out.transpose(1, 2)[real]


def _maps(
    gradient: Tensor, qkv: Tensor, lse: Tensor, offsets: Tensor, longest: int, *others: Any
) -> tuple[Call, First]:
    (q, k, v), real, bias = _heads(qkv, offsets)
    g = gradient[_padded(offsets)[0]].transpose(1, 2).contiguous() * real[:, None, :, None]

    def call() -> Tensor:
        z = others[0] * (q @ k.mT)
        return ((z if bias is None else z + bias).softmax(-1) * (g @ v.mT)).mean(1)

    return call, lambda out: out * (real[:, :, None] & real[:, None])


def _backward(gradient: Tensor, qkv: Tensor, *others: Any) -> tuple[Call, First]:
    offsets, scale = others[2], others[4]
    (q, k, v), real, bias = _heads(qkv, offsets)
    g = gradient[_padded(offsets)[0]].transpose(1, 2).contiguous() * real[:, None, :, None]
    with torch.enable_grad():
        leaves = [t.requires_grad_() for t in (q, k, v)]
        out = functional.scaled_dot_product_attention(*leaves, bias, scale=scale)
    call = partial(torch.autograd.grad, out, leaves, g, retain_graph=True)
    return call, lambda out: torch.stack(out).permute(1, 3, 0, 2, 4)[real]


def _fuse(relevance: Tensor, attention: Tensor, offsets: Tensor, row: Tensor, *others: Any) -> tuple[Call, First]:
    lam = others[1]
    places, real = _padded(offsets)
    pairs = real[:, :, None] & real[:, None]
    maps = attention.new_zeros(pairs.shape).masked_scatter_(pairs, attention)
    r, w, count = relevance[places] * real, row[places] * real, offsets.diff()[:, None]

    def call() -> Tensor:
        a = maps * ((1 - lam) / maps.abs().sum((1, 2), keepdim=True))
        a = a + pairs * (lam * r / (r.abs().amax(1, keepdim=True) * count))[:, None]
        a = a + torch.diag_embed(real.to(a.dtype))
        z = a.abs().sum(2)
        return ((w / torch.where(z == 0, 1, z))[:, None] @ a)[:, 0]

    return call, lambda out: out[real]
