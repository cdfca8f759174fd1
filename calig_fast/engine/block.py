"""A transformer block over packed rows, and its vector-Jacobian product with respect to the input alone.

Post-norm: h = LN1(x + Wo attend(x Wqkv)), out = LN2(h + W2 f(W1 h)).
Pre-norm: y = x + s1 Wo attend(LN1(x) Wqkv), out = y + s2 W2 f(W1 LN2(y)).

No weight gradients and no autograd graph: what the way back needs is kept, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..encoder import Affine, Block, Norm
from .attend import Attended, Run, attend

_aten = torch.ops.aten
_INPUT_ALONE = (True, False, False)


@dataclass(frozen=True)
class Kept:
    """What a block's way up left for its way back.

    Args:
        attended: the attention's part.
        first: (input, mean, reciprocal deviation) of norm 1.
        second: the same of norm 2.
        inner: the MLP's hidden rows before the activation.
    """

    attended: Attended
    first: tuple[Tensor, Tensor, Tensor]
    second: tuple[Tensor, Tensor, Tensor]
    inner: Tensor


def project(block: Block, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
    """Queries, keys and values of rows x [R,D].

    Returns:
        [R,3E], and what norm 1 keeps where it comes before the projection.
    """
    if block.pre_norm:
        normed, *kept = _norm(block.norm1, x)
        return _affine(block.qkv, normed), (x, kept[0], kept[1])
    return _affine(block.qkv, x), None


def forward(
    block: Block,
    x: Tensor,
    qkv: Tensor,
    normed: tuple[Tensor, Tensor, Tensor] | None,
    runs: tuple[Run, ...],
    readout: Tensor | None,
) -> tuple[Tensor, Kept]:
    """The block's output.

    Args:
        block: the block.
        x: [R,D], its input.
        qkv: [R,3E], what `project` gave.
        normed: what norm 1 kept, from `project`.
        runs: where the segments lie in the rows.
        readout: [S] rows whose output alone is wanted, the first of each segment; None for all.

    Returns:
        [R,D] (or [S,D]), and what the way back needs.
    """
    mixed, attended = attend(qkv, block.heads, block.scale, runs, first_only=readout is not None)
    residual = x if readout is None else x[readout]
    if not block.pre_norm:
        y = _affine(block.out, mixed).add_(residual)
        h, mean1, deviation1 = _norm(block.norm1, y)
        inner = _affine(block.up, h)
        z = _affine(block.down, activate(block, inner)).add_(h)
        out, mean2, deviation2 = _norm(block.norm2, z)
        return out, Kept(attended, (y, mean1, deviation1), (z, mean2, deviation2), inner)
    y = _scaled_add(residual, _affine(block.out, mixed), block.scale1)
    h, mean2, deviation2 = _norm(block.norm2, y)
    inner = _affine(block.up, h)
    out = _scaled_add(y, _affine(block.down, activate(block, inner)), block.scale2)
    if normed is None:
        raise RuntimeError("a pre-norm block was given no norm")
    return out, Kept(attended, normed, (y, mean2, deviation2), inner)


def vjp(block: Block, g: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
    """The gradient, back to the attention: `attend.attend_vjp` takes it from there.

    Args:
        block: the block.
        g: gradient of the output rows.
        kept: what `forward` kept.

    Returns:
        the gradients of the residual [*,D] and of the attention's rows [*,E], both of the output rows.
    """
    if not block.pre_norm:
        dz = _norm_vjp(block.norm2, g, kept.second)
        dh = _mlp_vjp(block, dz, kept.inner).add_(dz)
        dy = _norm_vjp(block.norm1, dh, kept.first)
        return dy, dy @ block.out.weight
    dh = _mlp_vjp(block, g if block.scale2 is None else g * block.scale2, kept.inner)
    dy = _norm_vjp(block.norm2, dh, kept.second).add_(g)
    mixed = dy if block.scale1 is None else dy * block.scale1
    return dy, mixed @ block.out.weight


def pull(
    block: Block, residual: Tensor, dqkv: tuple[Tensor, Tensor, Tensor], kept: Kept, readout: Tensor | None
) -> Tensor:
    """The gradient of the block's input rows.

    Args:
        block: the block.
        residual: gradient of the residual, from `vjp`; overwritten where nothing else needs it.
        dqkv: gradients of q (of the output rows), k and v (of all rows), from `attend.attend_vjp`.
        kept: what `forward` kept.
        readout: as in `forward`; the queries' and the residual's gradients are of these rows alone.

    Returns:
        [R,D].
    """
    dq, dk, dv = dqkv
    width = dk.shape[1]
    weight = block.qkv.weight
    if readout is None:
        through = torch.cat([dq, dk, dv], 1) @ weight
    else:
        through = torch.cat([dk, dv], 1) @ weight[width:]
        through.index_add_(0, readout, dq @ weight[:width])
    if block.pre_norm:
        through = _norm_vjp(block.norm1, through, kept.first)
    if readout is None:
        return through.add_(residual)
    return through.index_add_(0, readout, residual)


def activate(block: Block, inner: Tensor) -> Tensor:
    """The MLP's activation; a gated one multiplies the activated first half by the second."""
    if not block.gated:
        return _FUNCTIONS[block.activation](inner)
    gate, value = inner.chunk(2, -1)
    return _FUNCTIONS[block.activation](gate) * value


def _mlp_vjp(block: Block, g: Tensor, inner: Tensor) -> Tensor:
    """From the gradient of W2 f(u) to that of the rows W1 was applied to."""
    da = g @ block.down.weight
    if not block.gated:
        return _GRADIENTS[block.activation](da, inner) @ block.up.weight
    gate, value = inner.chunk(2, -1)
    dgate = _GRADIENTS[block.activation](da * value, gate)
    return torch.cat([dgate, da * _FUNCTIONS[block.activation](gate)], -1) @ block.up.weight


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda u: torch.nn.functional.gelu(u, approximate="tanh"),
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
}
_GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu": _aten.gelu_backward,
    "gelu_tanh": lambda g, u: _aten.gelu_backward(g, u, approximate="tanh"),
    "relu": lambda g, u: _aten.threshold_backward(g, u, 0),
    "silu": _aten.silu_backward,
}


def _affine(affine: Affine, x: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, affine.weight, affine.bias)


def _norm(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    out, mean, deviation = _aten.native_layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
    return out, mean, deviation


def _norm_vjp(norm: Norm, g: Tensor, kept: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    x, mean, deviation = kept
    found: Tensor = _aten.native_layer_norm_backward(
        g, x, x.shape[-1:], mean, deviation, norm.weight, norm.bias, _INPUT_ALONE
    )[0]
    return found


def _scaled_add(x: Tensor, y: Tensor, scale: Tensor | None) -> Tensor:
    return y.add_(x) if scale is None else torch.addcmul(x, y, scale)
