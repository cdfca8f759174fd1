"""The hidden states that a model's output depends on past a block, found by a walk through the graph."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def bypassed_layers(value: Tensor, hidden: Sequence[Tensor]) -> frozenset[int]:
    """Layers l past which the explained scalar depends on an earlier hidden state, by a walk through its graph.

    Args:
        value: F [N], in the graph of the hidden states.
        hidden: h_0 .. h_{L-1}, each consumed by its block alone; h_0 is a leaf.

    Returns:
        the layers; empty where every path from h_0 to F runs through every hidden state.
    """
    nodes = [None, *(h.grad_fn for h in hidden[1:])]
    leaf = hidden[0]
    found = set()
    for layer in range(1, len(hidden)):
        earlier = {id(n) for n in nodes[1:layer] if n is not None}
        if _reaches(value, nodes[layer], leaf, earlier):
            found.add(layer)
    return frozenset(found)


def _reaches(value: Tensor, wall: object, leaf: Tensor, goals: set[int]) -> bool:
    """Return True where a walk back from F, not through `wall`, meets the leaf or a goal."""
    stack, seen = [value.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node is wall or id(node) in seen:
            continue
        seen.add(id(node))
        if id(node) in goals or getattr(node, "variable", None) is leaf:
            return True
        stack += [following for following, _ in node.next_functions]
    return False
