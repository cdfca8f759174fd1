"""No part of a path batch waits for the device: on a simulated GPU, reading a value raises."""

from __future__ import annotations

import copy
import importlib
from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from calig_fast import explain
from calig_fast.engines.base import PathPoints
from calig_fast.engines.budget import Budget
from calig_fast.engines.native import run as sweep
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.engines.native.path_batch import BlockRunner
from calig_fast.engines.native.run import NativeRun
from calig_fast.engines.native.workspace import Lease
from calig_fast.ops import dispatch
from calig_fast.ops.packing import Packed

KINDS = ["bert", "vit", "dinov2", "dinov2-gated", "timm-avg"]
GRID = [(layer, row, node) for layer in (0, 1, 2) for row in (0, 1) for node in (0.25, 0.5, 0.75)]
LAYERS, ROWS, NODES = (np.array(column) for column in zip(*GRID, strict=True))
POINTS = PathPoints(layer=LAYERS, row=ROWS, node=NODES)


class Copies(TorchDispatchMode):
    """Counts copies between devices: (from, to, whether the host goes on meanwhile)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, bool]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[0] if func is torch.ops.aten._to_copy.default else args[1]
            if source.device != found.device:
                goes_on = bool((kwargs or {}).get("non_blocking", len(args) > 2 and args[2]))
                self.seen.append((source.device.type, found.device.type, goes_on))
        return found


def gpu(x: Any) -> Any:
    """The same, its tensors of the same shapes on a GPU; to be called under `FakeTensorMode`."""
    if isinstance(x, Tensor):
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="cuda")
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{f.name: gpu(getattr(x, f.name)) for f in fields(x)})
    if isinstance(x, (tuple, list)):
        return type(x)(map(gpu, x))
    return {k: gpu(v) for k, v in x.items()} if isinstance(x, dict) else x


def by_shape(operation: dispatch.Operation, backend: str, *args: Any) -> Any:
    """Return the result shapes of an operation from the shapes of its arguments alone."""
    if operation.name == "interpolate_path":
        assert args[5] is not None, "the number of rows has to be told, else it is asked of the device"
    return importlib.import_module(f"{operation.package}.spec").fake(*args)


def a_round(kind: str, monkeypatch: pytest.MonkeyPatch, waves: int) -> list[tuple[str, str, bool]]:
    """Copies between devices in one round of points, in so many waves at least."""
    seen: list[Any] = []
    start = NativeEngine.start

    def watched(self: NativeEngine, problem: Any) -> Any:
        seen[:] = [self, start(self, problem)]
        return seen[1]

    with monkeypatch.context() as patch:
        patch.setattr(NativeEngine, "start", watched)
        explain(tiny(kind), ids(9, 9, 6) if kind == "bert" else pixels(3), engine="native", n_steps=1)  # 1 and 2
    engine, run = copy.copy(seen[0]), copy.copy(seen[1])
    monkeypatch.setattr(sweep, "gradients", lambda value, inputs, keep_graph: [torch.empty_like(i) for i in inputs])
    monkeypatch.setattr(dispatch.Operation, "__call__", by_shape)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    made: list[int] = []
    wave = NativeRun._wave
    monkeypatch.setattr(NativeRun, "_wave", lambda self, *args: made.append(1) or wave(self, *args))
    row = run._bytes_a_row * len(run._runner.stack) * run._packed.segments.longest
    engine.budget = Budget(row * len(POINTS) // waves, False)
    with FakeTensorMode(), Copies() as copies:
        run._engine, run._lease = engine, Lease(gpu(run._lease.lines))
        run._runner, run._packed = gpu(run._runner), gpu(run._packed)
        # the head and the scalar are the user's, who may do as they like
        tap = SimpleNamespace(head=lambda call, hidden: hidden, dtype=torch.float32, held=lambda seen: nullcontext())
        run._head = replace(run._head, tap=tap, call=gpu(run._head.call), packed=run._packed, replay=None)
        run.endpoints = SimpleNamespace(scalars=[lambda output, index: output.flatten(1).sum(1)] * 2, maps=[])
        rows, values = run.integrand(POINTS)
    assert rows.shape == (2, len(POINTS), run._packed.shape[1])
    assert values.shape == (2, len(POINTS))
    assert rows.device.type == values.device.type == "cuda"
    assert len(made) >= waves
    assert len([c for c in copies.seen if c[0] == "cpu"]) == len(made), copies.seen
    return copies.seen


@pytest.mark.parametrize("kind", KINDS)
def test_the_integrand_of_a_round_waits_for_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = a_round(kind, monkeypatch, waves=3)
    assert set(copies) == {("cpu", "cuda", True)}


def test_rows_chosen_by_a_mask_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def masked(self: Packed, inputs: Tensor, segments: Any) -> Tensor:
        return torch.ones(segments.rows, dtype=torch.bool, device=inputs.device).nonzero()[:, 0]

    monkeypatch.setattr(Packed, "where", masked)
    with pytest.raises(DynamicOutputShapeException):
        a_round("vit", monkeypatch, waves=1)


def test_a_copy_within_a_wave_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = NativeRun._wave
    monkeypatch.setattr(NativeRun, "_wave", lambda self, *args: wave(self, *args).cpu().to("cuda", non_blocking=True))
    with pytest.raises(AssertionError, match="cpu"):
        a_round("vit", monkeypatch, waves=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_is_waited_for_once_a_round(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ids(9, 6) if kind == "bert" else pixels(2)

    def strict(real: Any) -> Any:
        def run(*args: Any, **more: Any) -> Any:
            torch.cuda.set_sync_debug_mode("error")
            try:
                return real(*args, **more)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return run

    model = copy.deepcopy(tiny(kind)).cuda()
    there = {k: v.cuda() for k, v in call.items()} if isinstance(call, dict) else call.cuda()
    explain(model, there, engine="native")  # kernels are compiled and timed the first time
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "to_device", strict(sweep.to_device))
        for owner, name in ((BlockRunner, "up"), (BlockRunner, "down"), (Packed, "where"), (Packed, "spread")):
            patch.setattr(owner, name, strict(getattr(owner, name)))
        found = explain(model, there, engine="native")
    wanted = explain(tiny(kind), call, engine="native")
    torch.testing.assert_close(found.layer_scores, wanted.layer_scores, rtol=1e-3, atol=1e-3, equal_nan=True)
