"""Memory that the native engine keeps for the next call of an Explainer: buffers to fill again, and recordings.

A recording (`cuda_graphs`) stays valid while the addresses that it reads stay the same.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from threading import RLock
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from ...model.encoder import Block
from .buckets import Buckets
from .cuda_graphs import Recorder, Replay
from .path_batch import PathEndpoints
from .weights import Weights


class Lease:
    """The path ends of one run; they are free again when it is gone.

    Args:
        lines: both ends of all paths.
    """

    def __init__(self, lines: PathEndpoints) -> None:
        self.lines = lines


class Graphs:
    """Recordings of forward passes, and of the backward passes after them."""

    def __init__(self) -> None:
        self.forward, self.backward = Replay(None), Replay(None)

    def drop(self, key: Hashable) -> None:
        """Let go of one batch's recordings."""
        self.forward.drop(key)
        self.backward.drop(key)


class Workspace:
    """Weights, path endpoints and recordings of successive calls. Copied or pickled, it is an empty one."""

    def __init__(self) -> None:
        self.graphs, self.padded_graphs = Graphs(), Graphs()
        self.weights, self.buckets = Weights(), Buckets()
        self._kind: Hashable = None
        self._leases: WeakSet[Lease] = WeakSet()
        self._lock = RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Workspace, ()

    def blocks(self, read: Iterable[Block], dtype: torch.dtype, theirs: Container[int]) -> tuple[Block, ...]:
        """The blocks that were read, see `Weights.read`; recordings of weights elsewhere are freed."""
        before = self.weights.blocks
        placed_blocks = self.weights.read(read, dtype, theirs)
        if self._held:
            old, new = ([leaf for block in blocks for leaf in _leaves(block)] for blocks in (before, placed_blocks))
            if list(map(_place, old)) != list(map(_place, new)):
                self.clear()
        return placed_blocks

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
        for replay in self._replays:
            replay.recorder = recorder

    def lease(self, new: PathEndpoints) -> Lease:
        """Path ends, in the places of some of the same sizes that a recording reads and no other run uses."""
        used = {id(lease.lines) for lease in self._leases}
        new_lease = Lease(next((lines for lines in self._held if id(lines) not in used and lines.refilled(new)), new))
        self._leases.add(new_lease)
        return new_lease

    def exclusive(self) -> AbstractContextManager[Any]:
        """One run at a time, where recordings are shared."""
        return nullcontext() if self.graphs.forward.recorder is None else self._lock

    def clear(self) -> None:
        """Let go of the recordings."""
        for replay in self._replays:
            replay.clear()

    def forget(self) -> None:
        """Let go of the recordings, and of the batches that lead to others."""
        self.clear()
        self.buckets = Buckets()

    @property
    def _replays(self) -> tuple[Replay, ...]:
        return tuple(replay for graphs in (self.graphs, self.padded_graphs) for replay in vars(graphs).values())

    @property
    def _held(self) -> list[PathEndpoints]:
        """Path ends that a recording reads."""
        return self.graphs.forward.withins + self.padded_graphs.forward.withins


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
