"""The hidden states that a model's output depends on past a block, found by a walk through the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

# names of functions of torch, as a graph has them; a clamp is the ReLU6 of some models
KINKED = frozenset(
    [
        "Relu",
        "LeakyRelu",
        "Hardswish",
        "Hardtanh",
        "Hardsigmoid",
        "Threshold",
        "Prelu",
        "RreluWithNoise",
        "Abs",
        "Clamp",
        "ClampMin",
        "ClampMax",
        "Maximum",
        "Minimum",
        "Max",
        "Min",
        "Amax",
        "Amin",
        "MaxPool2DWithIndices",
        "MaxPool3DWithIndices",
        "AdaptiveMaxPool2D",
        "Topk",
        "Sort",
    ]
)


def bypassed_layers(value: Tensor, hidden: Sequence[Tensor]) -> frozenset[int]:
    """Layers l past which the explained scalar depends on an earlier hidden state, by a walk through its graph.

    Args:
        value: F [N], in the graph of the hidden states.
        hidden: h_0 .. h_{L-1}, each consumed by its block alone; h_0 is a leaf.

    Returns:
        the layers; empty where every path from h_0 to F runs through every hidden state.
    """
    marks = [id(h if h.grad_fn is None else h.grad_fn) for h in hidden]
    return frozenset(
        layer for layer in range(1, len(hidden)) if _reaches(value, marks[layer], frozenset(marks[:layer]))
    )


def depends_on(value: Tensor, leaves: Sequence[Tensor]) -> bool:
    """Return True where some leaf is in the graph of a tensor."""
    return _reaches(value, 0, frozenset(map(id, leaves)))


def has_kinks(value: Tensor) -> bool:
    """Return True where a scalar's graph holds a function with kinks, at which its gradient jumps."""
    stack, seen = [value.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().removesuffix("0").removesuffix("Backward") in KINKED:
            return True
        stack += [following for following, _ in node.next_functions]
    return False


def graph_of(value: Tensor) -> list[str]:
    """The names of the functions in the graph of a value, in an order that alike graphs share."""
    stack, names = [value.grad_fn], list[str]()
    places: dict[Any, int] = {}
    while stack:
        node = stack.pop()
        new = node is not None and node not in places
        names.append("" if node is None else f"{places.setdefault(node, len(places))} {node.name()}")
        if node is not None and new:
            stack += [following for following, _ in node.next_functions]
    return names


def _reaches(value: Tensor, wall: int, goals: frozenset[int]) -> bool:
    """Return True where a walk back from F, not through `wall`, meets a goal; both are ids of nodes or leaves."""
    stack, seen = [value.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        mark = id(getattr(node, "variable", node))
        if mark == wall:
            continue
        if mark in goals:
            return True
        stack += [following for following, _ in node.next_functions]
    return False
