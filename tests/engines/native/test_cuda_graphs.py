"""Recorded sweeps, with a recorder that runs on the CPU: it notes every operation, and does them again in place."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from helpers.recorder import Fake
from helpers.tiny_models import ids, pixels, tiny
from torch import Tensor

from calig_fast import Explainer, explain, ops
from calig_fast.engines.native import cuda_graphs as graphs
from calig_fast.engines.native import engine as sweep
from calig_fast.engines.native.cuda_graphs import Replay

needs_cpu = pytest.mark.skipif(ops.backends()["cpu"] is not None, reason="the reference reads values, on the CPU too")


def double(x: Tensor) -> tuple[Tensor, Tensor]:
    return x * 2, x + 1


def test_the_second_time_is_recorded_and_the_third_replayed() -> None:
    fake = Fake()
    replay = Replay(fake)
    calls = []

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(x)
        return double(x)

    counts = []
    for i in range(4):
        ran = replay("a", run, (torch.full((3,), float(i)),))
        assert torch.equal(ran.out, torch.full((3,), 2.0 * i))
        assert torch.equal(ran.saved, torch.full((3,), i + 1.0))
        counts.append((len(calls), fake.recorded, fake.replayed, ran.fixed))
    assert counts == [(1, 0, 0, False), (2, 1, 1, True), (2, 1, 2, True), (2, 1, 3, True)]


def test_what_is_recorded_at_once_ran_before() -> None:
    fake, calls = Fake(), list[Tensor]()

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(x)
        return double(x)

    replay = Replay(fake, keep=1)
    for i in range(3):
        ran = replay("a", run, (torch.full((3,), float(i)),), now=True)
        assert torch.equal(ran.out, torch.full((3,), 2.0 * i))
        assert (ran.fixed, len(calls), fake.recorded) == (True, 2, 1)
    assert replay.keys == ["a"]
    assert not replay.has_room
    assert replay.serves("a")
    assert not replay.serves("b")
    assert not replay("b", run, (torch.ones(3),), now=True).fixed
    replay.drop("a")
    assert replay.keys == []
    assert replay.has_room
    assert replay.serves("b"), "it came before"


def test_buffers_are_filled_anew_and_results_are_the_callers_own() -> None:
    replay = Replay(Fake())
    replay("a", double, (torch.zeros(3),))
    given = torch.ones(3)
    first = replay("a", double, (given,))
    second = replay("a", double, (torch.full((3,), 5.0),))
    assert torch.equal(first.out, torch.full((3,), 2.0)), "the replay after it wrote over it"
    assert torch.equal(second.out, torch.full((3,), 10.0))
    assert first.saved is second.saved, "saved values are not copied"
    assert torch.equal(given, torch.ones(3)), "the caller's tensor was taken as the buffer"


def test_another_shape_dtype_or_key_is_another_recording() -> None:
    fake = Fake()
    replay = Replay(fake, keep=8)
    others = [("a", torch.ones(3)), ("a", torch.ones(4)), ("a", torch.ones(3).double()), ("b", torch.ones(3))]
    for _ in range(3):
        for key, x in others:
            out = replay(key, double, (x,)).out
            assert torch.equal(out, 2 * x)
            assert out.dtype == x.dtype
    assert (fake.recorded, fake.replayed) == (4, 8)


def test_the_recording_unused_for_longest_goes_first_once_it_is_idle() -> None:
    fake = Fake()
    replay = Replay(fake, keep=2, idle=5)
    fixed = [replay(key, double, (torch.ones(1),)).fixed for key in "aabbccbcb"]
    assert fixed == [False, True] * 2 + [False, False, True, True, True], "c waits until a has been idle for 5 runs"
    assert fake.recorded == 3
    assert not replay("a", double, (torch.ones(1),)).fixed, "it went"
    assert [replay(key, double, (torch.ones(1),)).fixed for key in "cb"] == [True, True]
    replay.clear()
    assert not replay("b", double, (torch.ones(1),)).fixed


def test_shapes_by_turns_do_not_drive_each_other_out() -> None:
    fake = Fake()
    replay = Replay(fake, keep=2)
    for _ in range(5):
        for key in "abc":
            replay(key, double, (torch.ones(1),))
    assert fake.recorded == 2
    assert fake.replayed == 8


def test_a_recording_is_good_for_the_object_it_was_made_within() -> None:
    fake = Fake()
    replay = Replay(fake)
    first, other = [torch.ones(2)], [torch.full((2,), 7.0)]

    def run(within: list[Tensor]) -> Tensor:
        return replay("a", lambda x: (x + within[0], None), (torch.zeros(2),), within).out

    for _ in range(3):
        assert torch.equal(run(first), torch.ones(2))
    first[0].fill_(3.0)
    assert torch.equal(run(first), torch.full((2,), 3.0)), "values may change in their place"
    assert torch.equal(run(other), torch.full((2,), 7.0))
    assert fake.recorded == 1
    assert torch.equal(run(other), torch.full((2,), 7.0))
    assert fake.recorded == 2


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError])
def test_what_cannot_be_recorded_runs_as_it_is(error: type[RuntimeError]) -> None:
    asked = []

    class Refuses:
        def record(self, run: Any) -> Any:
            asked.append(run)
            raise error("planted")

    replay = Replay(Refuses())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ran = [replay("a", double, (torch.full((1,), float(i)),)) for i in range(5)]
    assert [(float(r.out), r.fixed) for r in ran] == [(2.0 * i, False) for i in range(5)]
    assert [str(w.message).partition(";")[0] for w in warned] == [
        "CUDA graphs: a recording failed, passes run without: planted"
    ]
    assert len(asked) == 1
    assert replay.recorder is None


def test_nothing_is_recorded_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert graphs.recorder_for(torch.device("cpu"), torch.float32, "auto", 32) is None
    monkeypatch.setattr(graphs.ops, "resolve", lambda backend, *tensors: backend)
    monkeypatch.setattr(graphs.torch, "empty", lambda *args, **more: None)
    there = torch.device("cuda")
    assert isinstance(graphs.recorder_for(there, torch.float32, "triton", 32), graphs.CudaRecorder)
    assert graphs.recorder_for(there, torch.float32, "triton+torch", 32) is None
    monkeypatch.setenv(graphs.VARIABLE, "0")
    assert graphs.recorder_for(there, torch.float32, "triton", 32) is None


@needs_cpu
@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2", "dinov2-gated", "timm-avg"])
@pytest.mark.parametrize("targets", [None, [[0, 2]] * 6])
def test_replayed_sweeps_explain_as_others_do(kind: str, targets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ids(9, 6, 6, 9, 6, 6) if kind == "bert" else pixels(6)
    options: dict[str, Any] = {"target": targets, "tolerance": 1e-3}
    fakes: list[Fake] = []
    monkeypatch.setattr(sweep, "DEFAULT_BUDGET", 2**17)  # several waves a round

    def recorder(*args: Any) -> Fake:
        fakes.append(Fake())
        return fakes[-1]

    wanted = Explainer(tiny(kind), engine="native")(call, **options)
    monkeypatch.setattr(sweep, "recorder_for", recorder)
    found = Explainer(tiny(kind), engine="native")(call, **options)
    assert sum(f.replayed for f in fakes) > sum(f.recorded for f in fakes) >= 2
    for name in ("scores", "layer_scores", "gap"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2", "dinov2-gated"])
def test_on_a_gpu_replayed_sweeps_explain_as_others_do(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ids(9, 6, 6, 9, 6, 6) if kind == "bert" else pixels(6)
    there = {k: v.cuda() for k, v in call.items()} if isinstance(call, dict) else call.cuda()
    model = tiny(kind).to("cuda")
    monkeypatch.setattr(sweep, "DEFAULT_BUDGET", 2**17)
    ran: list[bool] = []
    real = Replay.__call__

    def watched(self: Replay, *args: Any, **more: Any) -> Any:
        found = real(self, *args, **more)
        ran.append(found.fixed)
        return found

    try:
        monkeypatch.setattr(Replay, "__call__", watched)
        found = explain(model, there, engine="native", tolerance=1e-3)
        assert any(ran)
        monkeypatch.setenv(graphs.VARIABLE, "0")
        wanted = explain(model, there, engine="native", tolerance=1e-3)
    finally:
        model.to("cpu")
    torch.testing.assert_close(found.layer_scores, wanted.layer_scores, rtol=1e-5, atol=1e-6, equal_nan=True)
