"""Plain hooks: what every block's input contributes, by whole calls of the model. It shares nothing with the package.

r_l = (h_l - h'_l) * the mean over a of dF/dh at h'_l + a (h_l - h'_l), h entering block l of the call at the input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.architectures.tiny import Call, output

NODES = (8, 24, 72, 216)  # each holds the midpoints of the one before
SETTLED = 1e-2
Change = Callable[[int, Tensor], Tensor]  # number of the call and its hidden state to what stands in its place


@dataclass(frozen=True)
class Layer:
    """The truth at one block's input.

    Args:
        block: dotted name of the block.
        product: (h - h') * mean gradient, of the shape of the hidden state; None where the shapes at the two differ.
        own: F with h_l in place less F with h'_l in place.
        settled: how far `product` moved, relatively, when the nodes were last made three times as many.
    """

    block: str
    product: Tensor | None
    own: float
    settled: float


def logits(model: nn.Module, call: Call) -> Tensor:
    """The model's logits [B,C]."""
    out = output(model, call)
    class_logits: Tensor = out if isinstance(out, Tensor) else out.logits
    return class_logits


def carrier(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | str:
    """Which argument is the hidden state: the first tensor, or the keyword of that name."""
    arguments: list[int | str] = [i for i, v in enumerate(args) if isinstance(v, Tensor) and v.is_floating_point()]
    arguments += [k for k in ("hidden_states", "hidden_state", "x") if isinstance(kwargs.get(k), Tensor)]
    arguments += [k for k, v in kwargs.items() if isinstance(v, Tensor) and v.is_floating_point() and v.dim() > 2]
    if not arguments:
        raise LookupError("no tensor enters the block")
    return arguments[0]


@contextlib.contextmanager
def hooked(model: nn.Module, blocks: Sequence[str], change: Change) -> Iterator[list[str]]:
    """Every hidden state that enters a block goes through `change`; yields the blocks' names in the order of calls."""
    order: list[str] = []

    def enter(name: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        order.append(name)
        key = carrier(args, kwargs)
        old = args[key] if isinstance(key, int) else kwargs[key]
        new = change(len(order) - 1, old)
        # a block may be handed the same state several times, as its queries, keys and values
        return forward(
            *(new if v is old else v for v in args), **{k: new if v is old else v for k, v in kwargs.items()}
        )

    modules = {name: model.get_submodule(name) for name in blocks}
    for name, module in modules.items():  # in the place of hooks, which a model that calls forward itself passes by
        module.forward = partial(enter, name, module.forward)
    try:
        yield order
    finally:
        for module in modules.values():
            del module.forward


def states(model: nn.Module, blocks: Sequence[str], call: Call) -> tuple[list[Tensor], list[str]]:
    """The hidden states that enter the blocks, and the blocks, in the order of the calls."""
    hidden_states: list[Tensor] = []
    with hooked(model, blocks, lambda _, h: hidden_states.append(h.detach().clone()) or h) as order, torch.no_grad():
        logits(model, call)
    return hidden_states, order


def layers(model: nn.Module, blocks: Sequence[str], call: Call, low: Call, target: int) -> list[Layer]:
    """r_l for each call of a block, in the order of the calls.

    The input stands twice in each call: at a batch of one, PyTorch 2.14 gives wrong gradients of some convolutions that
    a batch norm follows (gradcheck says so).
    """
    twice = [{k: torch.cat([v, v]) for k, v in one.items()} for one in (call, low)]
    single, order = states(model, blocks, call)
    high, below = states(model, blocks, twice[0])[0], states(model, blocks, twice[1])[0]
    integrals = []
    for at, name in enumerate(order):
        if len(high) != len(below) or high[at].shape != below[at].shape:
            integrals.append(Layer(name, None, float("nan"), float("inf")))
            continue

        value = partial(_value, model=model, blocks=blocks, call=twice[0], target=target, at=at)
        with torch.no_grad():
            own = float((value(high[at]) - value(below[at]))[0])
        product, settled = _integral(value, high[at], below[at])
        axis = next((i for i, n in enumerate(single[at].shape) if product.shape[i] == 2 * n), None)
        first = product if axis is None else product.narrow(axis, 0, single[at].shape[axis])
        integrals.append(Layer(name, first, own, settled))
    return integrals


def _value(point: Tensor, *, model: nn.Module, blocks: Sequence[str], call: Call, target: int, at: int) -> Tensor:
    """F [B] with `point` in the place of what enters the call `at` of a block."""
    with hooked(model, blocks, lambda i, h: point if i == at else h):
        return logits(model, call)[:, target]


def _integral(value: Callable[[Tensor], Tensor], high: Tensor, low: Tensor) -> tuple[Tensor, float]:
    """(h - h') * mean gradient, with as many nodes as it takes to settle, and how far it moved last."""
    known: dict[float, Tensor] = {}
    before, settled = None, float("inf")
    for n in NODES:
        nodes = [round((2 * k + 1) / (2 * n), 9) for k in range(n)]
        for a in (a for a in nodes if a not in known):
            point = (low + a * (high - low)).requires_grad_()
            known[a] = torch.autograd.grad(value(point).sum(), point)[0].double()
        product = (high - low).double() * torch.stack([known[a] for a in nodes]).mean(0)
        if before is not None:
            settled = float((product - before).norm() / product.norm().clamp_min(1e-30))
        if settled < SETTLED:
            break
        before = product
    return product, settled
