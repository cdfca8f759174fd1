"""Token ids followed through a model's own arithmetic; a baseline's ids stand wherever a number comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

# places of tokens, which stay the input's own, as masks do
_PLACES = frozenset(["argmax", "argmin", "argsort", "nonzero", "searchsorted", "topk", "sort", "unique", "equal"])


class IdFlow:
    """Every tensor of integers that a model makes of its ids, and what it would be of other ids.

    A function that makes numbers of them (a sum of embeddings, a one-hot row, a hashed word) is given the others.
    Comparisons and places keep the ids: masks and positions of a baseline are the input's own.

    Args:
        ids: what the model is given.
        others: the same with the baseline's words, or where there are none, other ids that show what depends on them.
        given: the others stand for the ids; False only notes that numbers depend on them.

    Attributes:
        uses: functions that made numbers of the ids, by name.
    """

    def __init__(self, ids: Tensor, others: Tensor, *, given: bool) -> None:
        self._others: dict[int, tuple[Tensor, Tensor]] = {id(ids): (ids, others)}
        self._given = given
        self.uses: list[str] = []

    def follows(self, value: Any) -> bool:
        """Return True for the ids and for what was made of them."""
        return isinstance(value, Tensor) and id(value) in self._others

    def _among(self, values: Iterable[Any]) -> bool:
        """Return True if any of a function's arguments, or of the containers among them, is followed."""
        for value in values:
            if isinstance(value, Tensor):
                if id(value) in self._others:
                    return True
            elif isinstance(value, list | tuple):
                if self._among(value):
                    return True
            elif isinstance(value, dict) and self._among(value.values()):
                return True
        return False

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a function of torch, with the others in the place of the ids where it makes numbers."""
        if not (self._among(args) or self._among(kwargs.values())):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _PLACES:
            return func(*args, **kwargs)
        if _in_place(name) and isinstance(args[0], Tensor):
            return self._in_place(func, args, kwargs)
        made = func(*self._swapped(args), **self._swapped(kwargs))
        if self._given and any(isinstance(v, Tensor) and v.is_floating_point() for v in tree_leaves(made)):
            self.uses.append(name)
            return made
        real = func(*args, **kwargs)
        self._keep(real, made, name)
        return real

    def _in_place(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that writes into its first argument."""
        target = args[0]
        if target.is_floating_point():
            self.uses.append(getattr(func, "__name__", ""))
            return (
                func(target, *self._swapped(args[1:]), **self._swapped(kwargs))
                if self._given
                else func(*args, **kwargs)
            )
        other = self._others[id(target)][1] if self.follows(target) else target.clone()
        func(other, *self._swapped(args[1:]), **self._swapped(kwargs))
        real = func(*args, **kwargs)
        self._keep(target, other, "")
        return real

    def _swapped(self, values: Any) -> Any:
        if isinstance(values, Tensor):
            return self._others[id(values)][1] if id(values) in self._others else values
        if type(values) in {list, tuple}:
            return type(values)(map(self._swapped, values))
        return {k: self._swapped(v) for k, v in values.items()} if isinstance(values, dict) else values

    def _keep(self, result: Any, made: Any, name: str) -> None:
        """Follow the integers that differ; note the numbers that do."""
        for real, other in zip(tree_leaves(result), tree_leaves(made), strict=False):
            if not isinstance(real, Tensor) or real.dtype == torch.bool or torch.equal(real, other):
                continue
            if real.is_floating_point():
                self.uses.append(name)
            else:
                self._others[id(real)] = (real, other)


def _in_place(name: str) -> bool:
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in {"__index__", "__int__", "__invert__"})
    return name.endswith("_")
