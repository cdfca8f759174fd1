"""The hidden state among what a block takes and returns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .containers import mapped, parts, tensors_in

Others = list[None] | tuple[None, ...] | None  # a None for each value that a block returns beside its state

_BESIDE = re.compile(r"mask|bias|pos|rope|rotary|freqs|^cos$|^sin$")  # arguments that hold no hidden state


class AtBlocksError(BaseException):
    """Ends a pass at the first block; a model that catches its own errors does not catch it."""


def state_in(out: Any, shape: torch.Size) -> Tensor | None:
    """The hidden state in what a block returned: the first floating tensor of the shape of its input."""
    return next((v for v in tensors_in(out) if v.is_floating_point() and v.shape == shape), None)


def picked_rows(value: Any, rows: int, axis: int, index: Tensor) -> Any:
    """Rows `index` of every tensor that a block returned for `rows` inputs; what has no row for each is left."""

    def pick(v: Any) -> Any:
        if not isinstance(v, Tensor) or not v.dim():
            return v
        rows_axis = axis if v.dim() > axis and v.shape[axis] == rows else 0
        return v.index_select(rows_axis, index.to(v.device)) if v.shape[rows_axis] == rows else v

    return mapped(pick, value)


def beside(out: Any) -> Others:
    """A None for each value that a block returned beside its state, in the kind of its sequence; or None."""
    if isinstance(out, list):
        return [None] * (len(out) - 1)
    return (None,) * (len(out) - 1) if isinstance(out, tuple) else None


def returned(hidden: Tensor, others: Others) -> Any:
    """A block's output with this state, the others from `beside`."""
    if others is None:
        return hidden
    return [hidden, *others] if isinstance(others, list) else (hidden, *others)


def run_block(
    forward: Callable[..., Any], given: Tensor, hidden: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """A block's own forward with `hidden` in every argument that holds the hidden state it was given."""

    def swapped(value: Any) -> Any:
        return mapped(lambda v: hidden if v is given else v, value)

    return forward(*map(swapped, args), **{name: swapped(value) for name, value in kwargs.items()})


def state_given(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The hidden state that a block is given: the first floating tensor of two axes or more.

    Masks, gates and biases come last, and keywords in the order in which `forward` declares them.

    Raises:
        ValueError: none is.
    """

    if _is_plain(forward, args, kwargs):
        plain: Tensor = args[0]
        return plain

    def states(value: Any) -> list[Tensor]:
        return [v for v in tensors_in(value) if v.is_floating_point() and v.dim() > 1]

    named = kwargs.get("hidden_states")
    if isinstance(named, Tensor) and not states(args):
        return named
    hidden_states = states((args, kwargs))
    if not hidden_states:
        raise ValueError("layers: a named block receives no hidden state [N,T,D]; name modules that do")
    if len(hidden_states) == 1:
        return hidden_states[0]
    order = _parameters(forward)
    names = [*order[: len(args)], *(f"*{i}" for i in range(len(order), len(args)))]
    places = [*zip(names, args, strict=True), *kwargs.items()]
    places = [part for name, value in places for part in parts(name, value)]
    places.sort(key=lambda p: (bool(_BESIDE.search(p[0])), order.index(p[0]) if p[0] in order else len(order)))
    ranked = [v for _, value in places for v in states(value)]
    return next((v for v in ranked if not any(_weighs(v, other) for other in ranked)), ranked[0])


def _is_plain(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return True for one state [N,T,D] by place, and by name only masks, flags and nothing else that is one."""
    state = args[0] if args and all(value is None for value in args[1:]) else None
    if type(state) is not Tensor or not state.is_floating_point() or state.dim() != 3:
        return False
    alone = True
    for name, value in kwargs.items():
        beside = isinstance(value, Tensor) and (not value.is_floating_point() or _BESIDE.search(name))
        if not (value is None or isinstance(value, bool | int | str) or beside):
            return False
        alone = alone and not (isinstance(value, Tensor) and value.is_floating_point())
    # beside another number a token, one of a single token could be a mask
    return (alone or state.shape[1] > 1) and not _BESIDE.search(_first_name(getattr(forward, "__func__", forward)))


@lru_cache(maxsize=256)
def _first_name(function: Callable[..., Any]) -> str:
    """The name of a function's first argument after `self`, "mask" where it is not told."""
    names = [name for name in _parameters(function) if name != "self"]
    return names[0] if names else "mask"


def _weighs(value: Tensor, state: Tensor) -> bool:
    """Return True for one number a token of a state: a mask or a gate, whatever its name."""
    numbers = state.shape[:-1]
    return state.shape[-1] > 1 and len(numbers) > 1 and value.shape in {numbers, (*numbers, 1)}


def _parameters(forward: Callable[..., Any]) -> list[str]:
    """The names under which a function takes its arguments, none where it does not say."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
