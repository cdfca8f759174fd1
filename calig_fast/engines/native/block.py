"""A transformer block over packed rows, and its vector-Jacobian product with respect to the input alone.

Post-norm: h = LN1(x + Wo attend(x Wqkv)), out = LN2(h + W2 f(W1 h)).
Pre-norm: y = x + s1 Wo attend(LN1(x) Wqkv), out = y + s2 W2 f(W1 LN2(y)).

No weight gradients and no autograd graph: only tensors for the backward pass are saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import ops
from ...model.encoder import Affine, Block, Norm
from ...ops.activation_backward import pytorch as plain_activation
from ...ops.activation_backward import spec as activation_spec
from ...ops.dispatch import requested_backend
from ...ops.norm_backward import pytorch as plain_norm
from ...ops.norm_backward import spec as norm_spec
from ...ops.packing import Segments
from .attention import attend
from .linear import affine, linear_backward

Parts = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Saved:
    """The saved tensors of a block for its backward pass.

    Args:
        attended: saved by the attention, `SavedAttention` or `SavedFirstRows`.
        first: (input, mean, reciprocal deviation) of norm 1.
        second: the same of norm 2.
        inner: the MLP's hidden rows before the activation.
    """

    attended: Any
    first: Parts
    second: Parts
    inner: Tensor


def project(block: Block, x: Tensor, backend: str = "auto") -> tuple[Tensor, Parts | None]:
    """Queries, keys and values of rows x [R,D].

    Returns:
        [R,3E], and the saved tensors of norm 1 where it comes before the projection.
    """
    if block.pre_norm:
        normed, *saved = norm(block.norm1, x)
        return affine(block.qkv, normed, backend=backend), (x, saved[0], saved[1])
    return affine(block.qkv, x, backend=backend), None


def forward(
    block: Block, x: Tensor, qkv: Tensor, normed: Parts | None, segments: Segments, *, backend: str = "auto"
) -> tuple[Tensor, Saved]:
    """The block's output.

    Args:
        block: the block.
        x: [R,D], its input.
        qkv: [R,3E], the output of `project`.
        normed: saved by norm 1, from `project`.
        segments: the row ranges of the segments.
        backend: backend of the fused operations.

    Returns:
        [R,D], and the saved tensors for the backward pass.
    """
    mixed, attended = attend(qkv, block.heads, block.scale, segments, backend)
    return finish(block, mixed, x, normed, attended, backend=backend)


def finish(
    block: Block, mixed: Tensor, x: Tensor, normed: Parts | None, attended: Any, *, backend: str = "auto"
) -> tuple[Tensor, Saved]:
    """The part of a block after the attention.

    Args:
        block: the block.
        mixed: [R,E], the output of the attention.
        x: [R,D], the rows of the input that it is added to.
        normed: saved by norm 1, from `project`.
        attended: the saved tensors of the attention.
        backend: backend of the fused operations.

    Returns:
        [R,D], and the saved tensors for the backward pass.
    """
    if not block.pre_norm:
        y = affine(block.out, mixed, x, backend)
        h, mean1, deviation1 = norm(block.norm1, y)
        inner = affine(block.up, h, backend=backend)
        z = affine(block.down, activate(block, inner), h, backend)
        out, mean2, deviation2 = norm(block.norm2, z)
        return out, Saved(attended, (y, mean1, deviation1), (z, mean2, deviation2), inner)
    y = _onto(x, block.out, mixed, block.scale1, backend)
    h, mean2, deviation2 = norm(block.norm2, y)
    inner = affine(block.up, h, backend=backend)
    out = _onto(y, block.down, activate(block, inner), block.scale2, backend)
    if normed is None:
        raise RuntimeError("a pre-norm block was given no norm")
    return out, Saved(attended, normed, (y, mean2, deviation2), inner)


def vjp(block: Block, g: Tensor, saved: Saved, backend: str = "auto") -> tuple[Tensor, Tensor]:
    """The gradient from the output to the attention; `attention_backward_rows` continues it.

    Args:
        block: the block.
        g: gradient of the output rows.
        saved: the saved tensors of `forward`.
        backend: backend of the fused operations.

    Returns:
        the gradients of the residual [*,D] and of the attention's rows [*,E], both of the output rows.
    """
    if not block.pre_norm:
        dz = norm_vjp(block.norm2, g, saved.second, None, backend)
        dh = _mlp_vjp(block, dz, saved.inner, dz, backend)
        dy = norm_vjp(block.norm1, dh, saved.first, None, backend)
        return dy, linear_backward(block.out, dy, backend=backend)
    dh = _mlp_vjp(block, g if block.scale2 is None else g * block.scale2, saved.inner, None, backend)
    dy = norm_vjp(block.norm2, dh, saved.second, g, backend)
    mixed = dy if block.scale1 is None else dy * block.scale1
    return dy, linear_backward(block.out, mixed, backend=backend)


def input_grad(block: Block, residual: Tensor, dqkv: Tensor, saved: Saved, backend: str = "auto") -> Tensor:
    """The gradient of the block's input rows.

    Args:
        block: the block.
        residual: gradient of the residual [R,D], from `vjp`.
        dqkv: gradients of q, k and v side by side [R,3E], from `attention_backward_rows`.
        saved: the saved tensors of `forward`; read where norm 1 comes before the projection.
        backend: backend of the fused operations.

    Returns:
        [R,D].
    """
    if block.pre_norm:
        return norm_vjp(block.norm1, linear_backward(block.qkv, dqkv, backend=backend), saved.first, residual, backend)
    return linear_backward(block.qkv, dqkv, residual, backend)


def row_bytes(block: Block, dtype: torch.dtype) -> int:
    """Bytes of the saved tensors of one row in a block, but for a few numbers."""
    weight, inner = block.qkv.weight, block.up.weight.shape[0]
    attended = len(weight) * 4 // 3  # q, k, v and what they made
    return (2 * weight.shape[1] + inner + attended) * dtype.itemsize


def activate(block: Block, inner: Tensor) -> Tensor:
    """The MLP's activation; a gated one multiplies the activated first half by the second."""
    if not block.gated:
        return plain_activation.FUNCTIONS[block.activation](inner)
    gate, value = inner.chunk(2, -1)
    return plain_activation.FUNCTIONS[block.activation](gate) * value


def _mlp_vjp(block: Block, g: Tensor, inner: Tensor, residual: Tensor | None, backend: str) -> Tensor:
    """The gradient of the rows that W1 was applied to, from the gradient of W2 f(u), the residual added."""
    du = _activation_vjp(block, linear_backward(block.down, g, backend=backend), inner, backend)
    if block.gated and block.rules is not None and block.rules.halve_products:
        du = du * 0.5
    return linear_backward(block.up, du, residual, backend)


def _activation_vjp(block: Block, da: Tensor, inner: Tensor, backend: str) -> Tensor:
    if _fused(da, activation_spec.DTYPES) and not is_one_pass(block, da, backend):
        return ops.activation_backward(da, inner, block.activation, block.gated, backend)
    return plain_activation.activation_backward(da, inner, block.activation, block.gated)


def _fused(g: Tensor, dtypes: tuple[torch.dtype, ...]) -> bool:
    """Return True if the fused operations support such rows; PyTorch handles float16 on a CPU at any backend."""
    return g.dtype in dtypes and not (g.dtype == torch.float16 and g.device.type == "cpu")


def is_one_pass(block: Block, g: Tensor, backend: str) -> bool:
    """Return True if torch's own kernel has nothing to fuse and is faster: relu on a CPU, except in bfloat16."""
    # float32: 0.41 ms, the operation's 0.47, at [1024, 1536] on one thread of a Zen 4; every other kind gains
    one = block.activation == "relu" and not block.gated and g.dtype != torch.bfloat16 and g.device.type == "cpu"
    return one and requested_backend(backend) == "auto"


def norm(n: Norm, x: Tensor) -> Parts:
    out, mean, deviation = torch.ops.aten.native_layer_norm(x, x.shape[-1:], n.weight, n.bias, n.eps)
    return out, mean, deviation


def norm_vjp(n: Norm, g: Tensor, saved: Parts, residual: Tensor | None, backend: str) -> Tensor:
    """The gradient of the norm's input, the residual's added."""
    if n.frozen:  # without x', the deviation takes no part
        saved = torch.zeros_like(saved[0]), torch.zeros_like(saved[1]), saved[2]
    if _fused(g, norm_spec.DTYPES):
        return ops.norm_backward(g, *saved, n.weight, residual, backend)
    return plain_norm.norm_backward(g, *saved, n.weight, residual)


def _onto(x: Tensor, layer: Affine, rows: Tensor, scale: Tensor | None, backend: str) -> Tensor:
    """x + scale (W rows + b)."""
    if scale is None:
        return affine(layer, rows, x, backend)
    return torch.addcmul(x, affine(layer, rows, backend=backend), scale)
