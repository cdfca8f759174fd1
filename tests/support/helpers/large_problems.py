"""Arguments of the operations that are large, and what plain PyTorch makes of them in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from calig_fast import ops

# As FLOOR of test_values.py, of a GPU's attention of 4,096 tokens: what it sums has both signs, and is there ten
# times as large as the sums that are left, which the floor is a multiple of.
LONG_FLOOR = 16


def large(
    op: str,
    lengths: tuple[int, ...] = (190, 1, 333),
    segments: tuple[int, ...] = (0, 2, 1, 2, 0, 2),
    width: int = 257,
    heads: tuple[int, int] = (2, 40),
) -> tuple[Any, ...]:
    """Big enough to be cut between threads."""
    torch.manual_seed(0)
    offsets, inputs = torch.tensor([0, *lengths]).cumsum(0), torch.tensor(segments)
    tokens, rows, longest = sum(lengths), sum(lengths[b] for b in segments), max(lengths)
    if op == "interpolate_path":
        return torch.randn(tokens, width), torch.randn(tokens, width), offsets, inputs, torch.rand(len(inputs))
    if op == "accumulate_gradients":
        pairs = [torch.randn(rows, width)], [torch.randn(tokens, width)]
        return (*pairs, offsets, inputs, torch.rand(len(inputs)), True)
    if op == "norm_backward":
        statistics = torch.randn(rows, 1), torch.rand(rows, 1) + 0.5
        return (*torch.randn(2, rows, width), *statistics, torch.randn(width), torch.randn(rows, width))
    if op == "linear":
        return torch.randn(rows, width), torch.randn(2 * width, width), torch.randn(2 * width)
    if op == "activation_backward":
        return torch.randn(rows, width), torch.randn(rows, 2 * width), "gelu", True
    if op.startswith("attention"):
        qkv, where = torch.randn(tokens, 3, *heads), (offsets, longest, 0.2)
        if op == "attention_forward":
            return qkv, *where
        out, lse = ops.attention_forward(qkv, *where, backend="torch")
        kept = (lse,) if op == "attention_gradient" else (out, lse)
        maps = () if op == "attention_gradient" else (min(2, len(lengths)),)
        return torch.randn(tokens, *heads), qkv, *kept, *where, *maps
    parts = torch.randn(tokens), torch.randn(sum(n * n for n in lengths))
    return (*parts, offsets, torch.randn(tokens), torch.randn(tokens), 0.5)


def longest(op: str) -> tuple[Any, ...]:
    """One input of 4,096 tokens, and as little else as can be: three columns, one head of 16."""
    return large(op, (4096,), (0, 0), width=3, heads=(1, 16))


def in_float64(op: str, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """What plain PyTorch gives; the loop of fuse_rollout's `exact` takes half a minute for 4,096 tokens."""
    found = getattr(ops, op)(*map(_doubled, args), backend="torch")
    return found if isinstance(found, tuple) else (found,)


def _doubled(arg: Any) -> Any:
    if isinstance(arg, list):
        return [t.double() for t in arg]
    return arg.double() if isinstance(arg, Tensor) and arg.is_floating_point() else arg
