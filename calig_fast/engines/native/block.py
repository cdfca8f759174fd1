"""A transformer block over packed rows, and its vector-Jacobian product with respect to the input alone.

Post-norm: h = LN1(x + Wo attend(x Wqkv)), out = LN2(h + W2 f(W1 h)).
Pre-norm: y = x + s1 N3(Wo attend(LN1(x) Wqkv)), out = y + s2 N4(W2 f(W1 LN2(y))), or with LN2(x), in parallel.
The rows that Wo and W2 are applied to may be normed too.

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
from ...ops.add_norm import spec as add_norm_spec
from ...ops.dispatch import requested_backend
from ...ops.packing import Segments
from .attention import attend
from .linear import affine, by_ours, linear_backward
from .norm import Parts, fused, norm, norm_vjp


@dataclass(frozen=True)
class Saved:
    """The saved tensors of a block for its backward pass.

    Args:
        attended: saved by the attention, `SavedAttention` or `SavedFirstRows`.
        first: (input, mean, reciprocal deviation) of norm 1.
        second: the same of norm 2.
        inner: the MLP's hidden rows before the activation.
        post1: as `first`, of the norm of the attention's branch, or None.
        post2: the same of the MLP's.
        inner1: as `first`, of the norm of the attention's rows, or None.
        inner2: the same of the MLP's.
    """

    attended: Any
    first: Parts
    second: Parts
    inner: Tensor
    post1: Parts | None = None
    post2: Parts | None = None
    inner1: Parts | None = None
    inner2: Parts | None = None


def project(block: Block, x: Tensor, backend: str = "auto") -> tuple[Tensor, Parts | None]:
    """Queries, keys and values of rows x [R,D].

    Returns:
        [R,(H + 2G)E], and the saved tensors of norm 1 where it comes before the projection.
    """
    if block.pre_norm:
        normed, saved = norm(block.norm1, x)
        return affine(block.qkv, normed, backend=backend), saved
    return affine(block.qkv, x, backend=backend), None


def forward(
    block: Block, x: Tensor, qkv: Tensor, normed: Parts | None, segments: Segments, *, backend: str = "auto"
) -> tuple[Tensor, Saved]:
    """The block's output.

    Args:
        block: the block.
        x: [R,D], its input.
        qkv: [R,(H + 2G)E], the output of `project`.
        normed: saved by norm 1, from `project`.
        segments: the row ranges of the segments.
        backend: backend of the fused operations.

    Returns:
        [R,D], and the saved tensors for the backward pass.
    """
    mixed, attended = attend(block, qkv, segments, backend)
    return finish(block, mixed, x, normed, attended, backend=backend)


def finish(
    block: Block, mixed: Tensor, x: Tensor, normed: Parts | None, attended: Any, *, backend: str = "auto"
) -> tuple[Tensor, Saved]:
    """The part of a block after the attention.

    Args:
        block: the block.
        mixed: [R,HE], the output of the attention.
        x: [R,D], the rows of the input that it is added to.
        normed: saved by norm 1, from `project`.
        attended: the saved tensors of the attention.
        backend: backend of the fused operations.

    Returns:
        [R,D], and the saved tensors for the backward pass.
    """
    mixed, inner1 = _normed(block.inner1, mixed)
    if not block.pre_norm:
        h, first = _normed_sum(block.norm1, block.out, mixed, x, backend)
        inner = affine(block.up, h, backend=backend)
        rows, inner2 = _normed(block.inner2, activate(block, inner))
        out, second = _normed_sum(block.norm2, block.down, rows, h, backend)
        return out, Saved(attended, first, second, inner, inner1=inner1, inner2=inner2)
    if normed is None:
        raise RuntimeError("a pre-norm block was given no norm")
    post1 = None
    if block.parallel or block.scale1 is not None or block.post1 is not None:
        y, post1 = _onto(x, block.out, mixed, block.scale1, block.post1, backend=backend)
        h, second = norm(block.norm2, x if block.parallel else y)
    else:
        h, second = _normed_sum(block.norm2, block.out, mixed, x, backend)
        y = second[0]
    inner = affine(block.up, h, backend=backend)
    rows, inner2 = _normed(block.inner2, activate(block, inner))
    out, post2 = _onto(y, block.down, rows, block.scale2, block.post2, backend=backend)
    return out, Saved(attended, normed, second, inner, post1, post2, inner1, inner2)


def vjp(block: Block, g: Tensor, saved: Saved, backend: str = "auto") -> tuple[Tensor, Tensor]:
    """The gradient from the output to the attention; `attention_backward_rows` continues it.

    Args:
        block: the block.
        g: gradient of the output rows.
        saved: the saved tensors of `forward`.
        backend: backend of the fused operations.

    Returns:
        the gradients of the residual [*,D] and of the attention's rows [*,HE], both of the output rows.
    """
    if not block.pre_norm:
        dz = norm_vjp(block.norm2, g, saved.second, None, backend)
        # the product may be written into the residual's gradient; without a norm that is the caller's
        dh = _mlp_vjp(block, dz, saved, g.clone() if dz is g else dz, backend)
        dy = norm_vjp(block.norm1, dh, saved.first, None, backend)
        return dy, _into(block.out, dy, block.inner1, saved.inner1, backend)
    dh = _mlp_vjp(block, _branch_vjp(g, block.scale2, block.post2, saved.post2, backend), saved, None, backend)
    dy = norm_vjp(block.norm2, dh, saved.second, g, backend)
    mixed = _branch_vjp(g if block.parallel else dy, block.scale1, block.post1, saved.post1, backend)
    return dy, _into(block.out, mixed, block.inner1, saved.inner1, backend)


def input_grad(block: Block, residual: Tensor, dqkv: Tensor, saved: Saved, backend: str = "auto") -> Tensor:
    """The gradient of the block's input rows.

    Args:
        block: the block.
        residual: gradient of the residual [R,D], from `vjp`; may be overwritten.
        dqkv: gradients of q, k and v side by side [R,(H + 2G)E], from `attention_backward_rows`.
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
    normed = (block.heads if block.norm_q else 0) + (block.groups if block.norm_k else 0)
    attended = (4 * block.heads + normed) * block.head_size  # q, k, v and what they made
    posts = sum(post is not None for post in (block.post1, block.post2))
    within = sum(layer.weight.shape[1] for layer, n in ((block.out, block.inner1), (block.down, block.inner2)) if n)
    return ((2 + posts) * block.qkv.weight.shape[1] + block.up.weight.shape[0] + attended + within) * dtype.itemsize


def activate(block: Block, inner: Tensor) -> Tensor:
    """The MLP's activation; a gated one multiplies the activated first half by the second."""
    if not block.gated:
        return plain_activation.FUNCTIONS[block.activation](inner)
    gate, value = inner.chunk(2, -1)
    return plain_activation.FUNCTIONS[block.activation](gate) * value


def _mlp_vjp(block: Block, g: Tensor, saved: Saved, residual: Tensor | None, backend: str) -> Tensor:
    """The gradient of the rows that W1 was applied to, from the gradient of W2 f(u), the residual added."""
    du = _activation_vjp(block, _into(block.down, g, block.inner2, saved.inner2, backend), saved.inner, backend)
    if block.gated and block.rules is not None and block.rules.halve_products:
        du = du * 0.5
    return linear_backward(block.up, du, residual, backend)


def _activation_vjp(block: Block, da: Tensor, inner: Tensor, backend: str) -> Tensor:
    if fused(da, activation_spec.DTYPES) and not is_one_pass(block, da, backend):
        return ops.activation_backward(da, inner, block.activation, block.gated, backend)
    return plain_activation.activation_backward(da, inner, block.activation, block.gated)


def is_one_pass(block: Block, g: Tensor, backend: str) -> bool:
    """Return True if torch's own kernel has nothing to fuse and is faster: relu on a CPU, except in bfloat16."""
    # float32: 0.41 ms, the operation's 0.47, at [1024, 1536] on one thread of a Zen 4; every other kind gains
    one = block.activation == "relu" and not block.gated and g.dtype != torch.bfloat16 and g.device.type == "cpu"
    return one and requested_backend(backend) == "auto"


def _onto(
    x: Tensor, layer: Affine, rows: Tensor, scale: Tensor | None, post: Norm | None, *, backend: str
) -> tuple[Tensor, Parts | None]:
    """x + scale post(W rows + b), and the saved tensors of the norm `post`."""
    if scale is None and post is None:
        return affine(layer, rows, x, backend), None
    branch, saved = affine(layer, rows, backend=backend), None
    if post is not None:
        branch, saved = norm(post, branch)
    return x + branch if scale is None else torch.addcmul(x, branch, scale), saved


def _normed_sum(n: Norm | None, layer: Affine, rows: Tensor, x: Tensor, backend: str) -> tuple[Tensor, Parts]:
    """The norm of x + W rows + b, and its saved tensors."""
    if n is None or n.rms or by_ours(rows, backend) or not fused(rows, add_norm_spec.DTYPES):
        return norm(n, affine(layer, rows, x, backend))
    branch = affine(layer, rows, backend=backend)
    out, y, mean, deviation = ops.add_norm(branch, x, n.weight, n.bias, n.eps, backend)
    return out, (y, mean, deviation)


def _normed(n: Norm | None, rows: Tensor) -> tuple[Tensor, Parts | None]:
    """The normed rows, and the saved tensors of the norm; where there is none, the rows and None."""
    return (rows, None) if n is None else norm(n, rows)


def _into(layer: Affine, g: Tensor, n: Norm | None, saved: Parts | None, backend: str) -> Tensor:
    """The gradient of the rows before a projection, and before the norm in front of it where there is one."""
    gradient = linear_backward(layer, g, backend=backend)
    return gradient if saved is None else norm_vjp(n, gradient, saved, None, backend)


def _branch_vjp(g: Tensor, scale: Tensor | None, post: Norm | None, saved: Parts | None, backend: str) -> Tensor:
    """The gradient of W rows + b in `_onto`, from that of its output."""
    if scale is not None:
        g = g * scale
    return g if saved is None else norm_vjp(post, g, saved, None, backend)
