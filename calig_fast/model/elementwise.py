"""Tensors that are functions of one other tensor, element by element, by a walk through the graph."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# names of functions of torch, as a graph has them, without "Backward"; the bent ones are the gates of activations
BENT = frozenset(["Tanh", "Sigmoid", "Erf", "Hardsigmoid", "Erfc"])
STRAIGHT = frozenset(
    [
        "Add",
        "Sub",
        "Rsub",
        "Mul",
        "Div",
        "Neg",
        "Pow",
        "Exp",
        "Log",
        "Log1P",
        "Softplus",
        "Square",
        "Reciprocal",
        "Relu",
        "Clamp",
        "ClampMin",
        "ClampMax",
        "Gelu",
        "Silu",
        "Clone",
        "ToCopy",
        "Alias",
    ]
)
ROOT = frozenset(["Sqrt", "Rsqrt", "Std"])


class Factor:
    """A factor of a product.

    Args:
        tensor: the factor, in a graph.

    Attributes:
        sources: outputs of the graph's nodes that it depends on through functions of single elements alone.
        bent: a gate's function is among these.
        root: it is one number for many, and a square root is among these, as a norm divides by one.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.sources: set[tuple[Any, int]] = set()
        self.bent = self.root = False
        stack = [_output(tensor)]
        while stack:
            node, which = stack.pop()
            if (node, which) in self.sources:
                continue
            self.sources.add((node, which))
            name = node.name().removesuffix("0").removesuffix("1").removesuffix("Backward")
            self.bent |= name in BENT
            self.root |= name in ROOT or (name == "Pow" and abs(node._saved_exponent) == 0.5)
            if name in BENT or name in STRAIGHT:
                stack += [(before, number) for before, number in node.next_functions if before is not None]
        self.root &= 1 in tensor.shape[1:]


def related(one: Factor, other: Factor) -> bool:
    """Return True where two factors are functions of one tensor, or one of them is a norm's deviation."""
    return one.root or other.root or not one.sources.isdisjoint(other.sources)


def _output(tensor: Tensor) -> tuple[Any, int]:
    """The node that made a tensor and the number of its output; of a leaf the node that collects its gradient."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_nr
    return tensor.view_as(tensor).grad_fn.next_functions[0][0], 0  # type: ignore[union-attr]
