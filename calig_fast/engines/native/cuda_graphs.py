"""Kernels that come again in the same order and sizes: recorded as a CUDA graph the second time, replayed from then on.

A recording reads and writes the same addresses each time. So its inputs are copied into buffers of its own before it
runs, and its result is copied out after; its other results stay in place until it runs again. `Replay` keeps
`KEEP` recordings, each with all the memory that its function took. For a batch of path points this is about the memory
budget in the forward pass, and as much in the backward pass. A recording is replaced only after `IDLE` idle runs. So
more shapes than recordings, in alternation, do not replace each other. Batches whose shape does not come again are
padded to shapes that do (`buckets`).

CALIG_FAST_GRAPHS=0 in the environment switches it off.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ... import ops
from ..._utils.warn import warn

KEEP = 4
IDLE = 64
SEEN = 256  # shapes remembered as having come once
VARIABLE = "CALIG_FAST_GRAPHS"
Run = Callable[..., tuple[Tensor, Any]]


class Recorder(Protocol):
    """A recorder of kernels."""

    def record(self, run: Callable[[], tuple[Tensor, Any]]) -> tuple[tuple[Tensor, Any], Callable[[], None]]:
        """Return the result of `run`, perhaps not yet computed, and a function that computes it again in place.

        Raises:
            RuntimeError: it does something that cannot be recorded.
        """


class CudaRecorder:
    """Records by CUDA's stream capture."""

    def record(self, run: Callable[[], tuple[Tensor, Any]]) -> tuple[tuple[Tensor, Any], Callable[[], None]]:
        """See `Recorder.record`."""
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # thread_local: other threads of the program may go on using the GPU
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = run()
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails leaves its own
        return outputs, graph.replay


def recorder_for(device: torch.device, dtype: torch.dtype, backend: str, head: int) -> Recorder | None:
    """The recorder of the engine's passes, or None: no GPU, switched off, or operations that wait for the device.

    Args:
        device: where the engine runs.
        dtype: of its blocks.
        backend: backend of the fused operations.
        head: columns of an attention head.
    """
    if device.type != "cuda" or os.environ.get(VARIABLE) == "0":
        return None
    taken = ops.resolve(backend, torch.empty(0, 1, head, dtype=dtype, device=device))
    return None if "torch" in taken else CudaRecorder()


@dataclass(frozen=True)
class Ran:
    """The result of a recorded function.

    Args:
        out: its result, the caller's own.
        saved: its other results.
        fixed: `saved` is the recording's: the same object each time, its values valid until the recording runs again.
    """

    out: Tensor
    saved: Any
    fixed: bool


@dataclass
class _Recording:
    inputs: tuple[Tensor, ...]
    out: Tensor
    saved: Any
    replay: Callable[[], None]
    within: Any
    last: int = 0

    def run(self, inputs: tuple[Tensor, ...]) -> Ran:
        for buffer, theirs in zip(self.inputs, inputs, strict=True):
            buffer.copy_(theirs, non_blocking=True)
        self.replay()
        return Ran(self.out.clone(), self.saved, True)


class Replay:
    """Runs functions; the second time that one comes it is recorded, where it can be.

    Args:
        recorder: the recorder, or None to run each without recording.
        keep: recordings held.
        idle: runs after which one that was not used is let go for another.
    """

    def __init__(self, recorder: Recorder | None, keep: int = KEEP, idle: int = IDLE) -> None:
        self.recorder, self._keep, self._idle, self._runs = recorder, keep, idle, 0
        self._recordings: OrderedDict[tuple[Any, ...], _Recording] = OrderedDict()
        self._seen: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    def __call__(
        self, key: Hashable, run: Run, inputs: tuple[Tensor, ...], within: Any = None, *, now: bool = False
    ) -> Ran:
        """Return run(*inputs), or replay its recording on them.

        Args:
            key: together with the inputs' shapes and dtypes it determines the kernels that `run` starts.
            run: gives a tensor, and anything else; may be recorded, so it must not wait for the device.
            inputs: tensors that differ from time to time.
            within: the object that `run` reads beside them; a recording is valid for this object alone. The values of
                its tensors may change, not their addresses.
            now: record it the first time, after a run without.
        """
        if self.recorder is None:
            return Ran(*run(*inputs), fixed=False)
        self._runs += 1
        key = (key, *((t.shape, t.dtype, t.device) for t in inputs))
        recording = self._recordings.pop(key, None)
        if recording is not None and recording.within is not within:
            recording = None
            self._seen.pop(key, None)
        if recording is None and (now or key in self._seen):
            if key not in self._seen and self.has_room:
                run(*inputs)  # kernels are compiled and chosen outside of a recording
            recording = self._record(run, inputs, within)
        self._seen[key] = None
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        if recording is None:
            return Ran(*run(*inputs), fixed=False)
        self._recordings[key], recording.last = recording, self._runs
        return recording.run(inputs)

    def serves(self, key: Hashable) -> bool:
        """Return True if a key has a recording, or came before and gets one now."""
        held = self._recordings if not self.has_room else (*self._recordings, *self._seen)
        return any(one[0] == key for one in held)

    @property
    def keys(self) -> list[Any]:
        """The keys of the recordings."""
        return [key[0] for key in self._recordings]

    @property
    def has_room(self) -> bool:
        """Return True if another can be recorded: there are fewer than are held, or one is idle."""
        if self.recorder is None or len(self._recordings) < self._keep:
            return self.recorder is not None
        return self._runs - next(iter(self._recordings.values())).last >= self._idle

    @property
    def withins(self) -> list[Any]:
        """The objects that the recordings read beside their inputs."""
        return [recording.within for recording in self._recordings.values()]

    def drop(self, key: Hashable) -> None:
        """Let go of the recordings of a key."""
        for held in [held for held in self._recordings if held[0] == key]:
            del self._recordings[held]

    def clear(self) -> None:
        """Let go of all recordings, and their memory."""
        self._recordings.clear()
        self._seen.clear()

    def _record(self, run: Run, inputs: tuple[Tensor, ...], within: Any) -> _Recording | None:
        if self.recorder is None or not self.has_room:
            return None
        if len(self._recordings) >= self._keep:
            self._recordings.popitem(last=False)
        buffers = tuple(t.clone(memory_format=torch.contiguous_format) for t in inputs)
        try:
            (out, saved), replay = self.recorder.record(lambda: run(*buffers))
        except RuntimeError as error:  # no memory for it is one too; what failed once would fail each time
            self.clear()
            self.recorder = None
            warn(
                f"CUDA graphs: a recording failed, passes run without: {error}; set {VARIABLE}=0 to record nothing",
                RuntimeWarning,
            )
            return None
        return _Recording(buffers, out, saved, replay, within)
