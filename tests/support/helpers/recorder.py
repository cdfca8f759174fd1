"""A recorder of operations that runs on the CPU, in the place of CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from calig_fast.engines.native import compiled


class Tape(TorchDispatchMode):
    """Every operation that is run under it, and where its results lie."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        """Do it again; views, and what is computed in place, lie there already."""
        for func, args, kwargs, found in self.done:
            for place, value in zip(tree_leaves(found), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(place, Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class Fake:
    """A recorder; what it recorded is spoilt until it is replayed, as a GPU computes nothing while it records."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def record(self, run: Callable[[], tuple[Tensor, Any]]) -> tuple[tuple[Tensor, Any], Callable[[], None]]:
        self.recorded += 1
        # a pass in C++ is one operation, and a tape of it would not know where its intermediate results lie
        with Tape() as tape, mock.patch.object(compiled, "takes", return_value=False):
            found = run()
        found[0].fill_(torch.nan)

        def replay() -> None:
            self.replayed += 1
            tape.replay()

        return found, replay
