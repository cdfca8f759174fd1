"""Kernels that come again in the same order and sizes: recorded as a CUDA graph the second time, replayed from then on.

A recording reads and writes the same addresses each time. So its inputs are copied into buffers of its own before it
runs, and its result is copied out after; what else it leaves stays where it is, until it runs again. `Replay` keeps the
last `KEEP` recordings, each with all the memory that its function took: for a wave of path points about the memory
budget on the way up, and as much on the way down.

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

from .. import ops

KEEP = 4
SEEN = 256  # shapes remembered as having come once
VARIABLE = "CALIG_FAST_GRAPHS"
Run = Callable[..., tuple[Tensor, Any]]


class Recorder(Protocol):
    """What records."""

    def record(self, run: Callable[[], tuple[Tensor, Any]]) -> tuple[tuple[Tensor, Any], Callable[[], None]]:
        """What `run` gives, which need not be computed yet, and what computes it anew, in the same places.

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
                found = run()
        finally:
            torch.cuda.set_stream(stream)  # a capture that fails leaves its own
        return found, graph.replay


def recorder_for(device: torch.device, dtype: torch.dtype, backend: str, head: int) -> Recorder | None:
    """What records the engine's sweeps, or None: no GPU, switched off, or operations that wait for the device.

    Args:
        device: where the engine runs.
        dtype: what its blocks run in.
        backend: backend of the fused operations.
        head: columns of an attention head.
    """
    if device.type != "cuda" or os.environ.get(VARIABLE) == "0":
        return None
    taken = ops.resolve(backend, torch.empty(0, 1, head, dtype=dtype, device=device))
    return None if "reference" in taken else CudaRecorder()


@dataclass(frozen=True)
class Ran:
    """What a function gave.

    Args:
        out: its result, the caller's own.
        kept: what else it gave.
        fixed: `kept` is the recording's: the same object each time, its values valid until the recording runs again.
    """

    out: Tensor
    kept: Any
    fixed: bool


@dataclass
class _Recording:
    inputs: tuple[Tensor, ...]
    out: Tensor
    kept: Any
    replay: Callable[[], None]
    within: Any

    def run(self, inputs: tuple[Tensor, ...]) -> Ran:
        for mine, theirs in zip(self.inputs, inputs, strict=True):
            mine.copy_(theirs, non_blocking=True)
        self.replay()
        return Ran(self.out.clone(), self.kept, True)


class Replay:
    """Runs functions; the second time that one comes it is recorded, where it can be.

    Args:
        recorder: what records, or None to run each as it is.
        keep: recordings held.
    """

    def __init__(self, recorder: Recorder | None, keep: int = KEEP) -> None:
        self._recorder, self._keep = recorder, keep
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def __call__(self, key: Hashable, run: Run, inputs: tuple[Tensor, ...], within: Any = None) -> Ran:
        """run(*inputs), or what it recorded on them.

        Args:
            key: what decides, beside the inputs' shapes and dtypes, which kernels `run` starts.
            run: gives a tensor, and anything else; may be recorded, so it must not wait for the device.
            inputs: tensors that differ from time to time.
            within: what `run` reads beside them; a recording is good for this one object, whose tensors may have
                changed their values, not their places.
        """
        if self._recorder is None:
            return Ran(*run(*inputs), fixed=False)
        key = (key, *((t.shape, t.dtype, t.device) for t in inputs))
        recording = self._recordings.pop(key, None)
        if recording is not None and recording.within is not within:
            recording = None
            self._seen.pop(key, None)
        if recording is None and key in self._seen:
            recording = self._record(run, inputs, within)
        self._seen[key] = None
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        if recording is None:
            return Ran(*run(*inputs), fixed=False)
        self._recordings[key] = recording
        return recording.run(inputs)

    @property
    def records(self) -> bool:
        """Whether anything is recorded."""
        return self._recorder is not None

    def clear(self) -> None:
        """Let go of all recordings, and their memory."""
        self._recordings.clear()
        self._seen.clear()

    def _record(self, run: Run, inputs: tuple[Tensor, ...], within: Any) -> _Recording | None:
        if self._recorder is None:
            return None
        while len(self._recordings) >= self._keep:
            self._recordings.popitem(last=False)
        mine = tuple(t.clone(memory_format=torch.contiguous_format) for t in inputs)
        try:
            (out, kept), replay = self._recorder.record(lambda: run(*mine))
        except RuntimeError:  # no memory for it is one too; what failed once would fail each time
            self.clear()
            self._recorder = None
            return None
        return _Recording(mine, out, kept, replay, within)
