"""Backward rules in the native engine, by the fused operations as they are.

A norm with a frozen deviation is the norm's operation where x' is 0. The gradient of a softmax at temperature T is that
of an attention with logits over T, of which queries and keys take theirs. Halves are factors of the results. The passes
run in Python, as those in C++ know no rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ...model.attention_capture import MapKind
from ...model.backward_rules import Rules
from ...model.encoder import Block, Norm
from .attention import SavedAttention, attend, attention_backward_rows


def refusal(rules: Rules) -> str:
    """The reason why the native engine does not run some rules, or ""."""
    return "" if rules.gate == "plain" else 'Rules(gate="frozen") runs on the autograd engine'


def check_rules(blocks: Iterable[Block], rules: Rules) -> None:
    """Raise where the autograd engine alone knows the rules of some blocks.

    Raises:
        ValueError: saying of which.
    """
    if not rules.plain and not all(block.basic for block in blocks):
        raise ValueError(
            "backward rules of blocks with RMS norms, rotary or relative positions, bands or shared heads run on the "
            "autograd engine"
        )


def ruled(stack: tuple[Block, ...], rules: Rules) -> tuple[Block, ...]:
    """The blocks with the rules of their gradients."""
    if rules.plain:
        return stack
    norms = [tuple(_frozen(n, rules) for n in (block.norm1, block.norm2)) for block in stack]
    pairs = zip(stack, norms, strict=True)
    return tuple(replace(block, norm1=first, norm2=second, rules=rules) for block, (first, second) in pairs)


def _frozen(n: Norm | None, rules: Rules) -> Norm | None:
    return None if n is None else replace(n, frozen=rules.norm == "frozen")


def attention_vjp(
    block: Block, g: Tensor, attended: SavedAttention, backend: str, *, maps: int = 0, kind: MapKind = "gradient"
) -> tuple[Tensor, Tensor]:
    """`attention_backward_rows` by the rules of a block; the arguments are its own."""
    dqkv, saved = attention_backward_rows(g, attended, backend, maps, kind)
    rules = block.rules
    if rules is None:
        return dqkv, saved
    heads, t = attended.qkv.shape, rules.softmax_temperature
    slopes = dqkv.view(heads)
    if t != 1:
        softer_block = replace(attended.block, scale=attended.block.scale / t)
        soft = attend(softer_block, attended.qkv.flatten(1), attended.segments, backend)[1]
        # queries and keys by the softer map, from logits that are scaled by 1 / T; values by the map itself
        slopes[:, :2] = attention_backward_rows(g, soft, backend)[0].view(heads)[:, :2].mul_(t)
    if rules.halve_products:
        slopes[:, :2].mul_(0.25)
        slopes[:, 2].mul_(0.5)
        saved = saved * 0.5
    return slopes.flatten(1), saved


def softer(rules: Rules | None, p: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """The map that the gradient of a softmax is taken at.

    Args:
        rules: of the block.
        p: softmax(z), z = queries keys^T, [n,H,U].
        queries: [n,H,D].
        keys: [n,U,D].
    """
    t = 1.0 if rules is None else rules.softmax_temperature
    return p if t == 1 else torch.softmax(queries @ keys.transpose(1, 2) / t, -1)


def share(rules: Rules | None) -> float:
    """The share of its gradient that a factor of a product takes."""
    return 0.5 if rules is not None and rules.halve_products else 1.0
