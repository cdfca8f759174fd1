"""Memory that the native engine keeps for the next call of an Explainer: buffers to fill again, and recordings.

Every call reads the model's weights again, so it sees every change of them. The workspace keeps the memory of copied
weights: joined weights, or weights in another dtype. Copying a BERT base's into new memory takes 55 ms in float32 and
152 in bfloat16, into the old memory 22 and 40 (Zen 4, 1 thread). A recording (`cuda_graphs`) stays valid while the
addresses that it reads stay the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from threading import RLock
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ...model.encoder import Block
from .cuda_graphs import Recorder, Replay
from .path_batch import PathEndpoints


class Lease:
    """The path ends of one run; they are free again when it is gone.

    Args:
        lines: both ends of all paths.
    """

    def __init__(self, lines: PathEndpoints) -> None:
        self.lines = lines


class Workspace:
    """Weights, path endpoints and recordings of successive calls. Copied or pickled, it is an empty one."""

    def __init__(self) -> None:
        self.forward_graphs, self.backward_graphs = Replay(None), Replay(None)
        self._blocks: tuple[Block, ...] = ()
        self._own: set[int] = set()
        self._kind: Hashable = None
        self._leases: WeakSet[Lease] = WeakSet()
        self._lock = RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Workspace, ()

    def blocks(self, read: Iterable[Block], dtype: torch.dtype, theirs: frozenset[int]) -> tuple[Block, ...]:
        """The blocks that were read, with copied weights in the memory of the previous copies.

        Args:
            read: blocks, read one at a time.
            dtype: of the weights; weights of this dtype are not copied.
            theirs: from `storages`, of the model of the weights; its own tensors are never written to.
        """
        found, own = list[Block](), set[int]()
        for block in read:
            old = self._blocks[len(found)] if len(found) < len(self._blocks) else None
            found.append(self._placed(block, old, dtype, theirs=theirs, own=own))
            del block  # so that the next is read into the memory of this one
        if self.forward_graphs.withins:
            before, now = ([leaf for block in blocks for leaf in _leaves(block)] for blocks in (self._blocks, found))
            if list(map(_place, before)) != list(map(_place, now)):
                self.clear()
        self._blocks, self._own = tuple(found), own
        return self._blocks

    def begin(self, kind: Hashable, recorder: Recorder | None) -> None:
        """A call begins.

        Args:
            kind: together with the blocks it determines the kernels; recordings of another kind are freed.
            recorder: the recorder, or None.
        """
        kind = kind, _switches()
        if kind != self._kind or recorder is None:
            self.clear()
        self._kind = kind
        self.forward_graphs.recorder = self.backward_graphs.recorder = recorder

    def lease(self, new: PathEndpoints) -> Lease:
        """Path ends, in the places of some of the same sizes that a recording reads and no other run uses."""
        held: list[PathEndpoints] = self.forward_graphs.withins
        used = {id(lease.lines) for lease in self._leases}
        found = Lease(next((lines for lines in held if id(lines) not in used and lines.refilled(new)), new))
        self._leases.add(found)
        return found

    def exclusive(self) -> AbstractContextManager[Any]:
        """One run at a time, where recordings are shared."""
        return nullcontext() if self.forward_graphs.recorder is None else self._lock

    def clear(self) -> None:
        """Let go of the recordings."""
        self.forward_graphs.clear()
        self.backward_graphs.clear()

    def _placed(self, new: Any, before: Any, dtype: torch.dtype, *, theirs: frozenset[int], own: set[int]) -> Any:
        """The same in `dtype`, copies written to where those before lie; their storages are added to `own`."""
        if is_dataclass(new) and not isinstance(new, type):
            pairs = ((f.name, getattr(new, f.name), getattr(before, f.name, None)) for f in fields(new))
            made = {
                name: (value, self._placed(value, old, dtype, theirs=theirs, own=own)) for name, value, old in pairs
            }
            changed = {name: after for name, (value, after) in made.items() if after is not value}
            return replace(new, **changed) if changed else new
        if not isinstance(new, Tensor) or (new.dtype == dtype and new.untyped_storage().data_ptr() in theirs):
            return new
        mine = isinstance(before, Tensor) and before.untyped_storage().data_ptr() in self._own
        if mine and (before.shape, before.dtype, before.device) == (new.shape, dtype, new.device):
            placed: Tensor = before.copy_(new)
        else:
            placed = new.to(dtype)
        own.add(placed.untyped_storage().data_ptr())
        return placed


def storages(model: nn.Module) -> frozenset[int]:
    """The storages of all tensors in the modules, also of tensors that are neither parameters nor buffers."""
    held = (
        value
        for module in model.modules()
        for values in (module._parameters, module._buffers, module.__dict__)
        for value in values.values()
        if isinstance(value, Tensor)
    )
    return frozenset(t.untyped_storage().data_ptr() for t in held)


def _leaves(value: Any) -> list[Any]:
    """The tensors and constants of blocks."""
    if is_dataclass(value) and not isinstance(value, type):
        return [leaf for f in fields(value) for leaf in _leaves(getattr(value, f.name))]
    return [value]


def _place(leaf: Any) -> Any:
    """The properties that a recording depends on: all of a tensor but its values."""
    if isinstance(leaf, Tensor):
        return leaf.data_ptr(), leaf.shape, leaf.stride(), leaf.dtype, leaf.device
    return leaf


def _switches() -> Hashable:
    """The process's own settings that decide which kernels PyTorch takes."""
    matmul: Any = torch.backends.cuda.matmul
    # the older name raises where the program set the newer one, which PyTorch below 2.9 has not
    precision = getattr(matmul, "fp32_precision", None) or matmul.allow_tf32
    reduced = matmul.allow_bf16_reduced_precision_reduction, matmul.allow_fp16_reduced_precision_reduction
    return precision, reduced, torch.are_deterministic_algorithms_enabled()
