"""Padded batches: their rows and idle points change no result, and few recordings serve texts of natural length."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.recorder import Fake
from helpers.tiny_models import ids, pixels, tiny
from torch import Tensor

from calig_fast import Explainer, ops
from calig_fast.engines.base import PathPoints
from calig_fast.engines.native import buckets, cuda_graphs
from calig_fast.engines.native import engine as sweep
from calig_fast.engines.native.buckets import Buckets, Need, Slots, ranges, work_of
from calig_fast.engines.native.path_batch import BatchKey, PathEndpoints
from calig_fast.engines.native.run import NativeRun

needs_cpu = pytest.mark.skipif(ops.backends()["cpu"] is not None, reason="the reference reads values, on the CPU too")
TEXTS, WARM = 48, 12
CALLS: dict[str, Any] = {
    "bert": [ids(n, seed=n) for n in (9, 16)],
    "bert, several": [ids(9, 6, 8)],
    "vit": [pixels(2)],
    "timm-avg": [pixels(2)],
    "dinov2-gated": [pixels(2)],
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake()
    monkeypatch.setattr(sweep, "recorder_for", lambda *args: found)
    return found


def padded_alone(monkeypatch: pytest.MonkeyPatch) -> list[BatchKey]:
    """Every batch is padded to a shape of its own, with an idle point in each block at least."""
    shapes: list[BatchKey] = []

    def shape(self: Buckets, need: Need, recorded: Any, has_room: bool) -> Any:
        more = replace(need, counts=tuple(count + 1 for count in need.counts), longest=need.longest + 1)
        shapes.append(need.with_others(more))
        return shapes[-1], None

    monkeypatch.setattr(Buckets, "shape", shape)
    return shapes


@needs_cpu
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("targets", [None, "all"])
def test_padding_changes_no_result(kind: str, targets: Any, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"engine": "native", "dtype": torch.float64, "target": targets, "tolerance": 1e-3}
    model, shapes = tiny(kind.partition(",")[0]), padded_alone(monkeypatch)
    found = [Explainer(model, **options)(call) for call in CALLS[kind]]
    assert shapes
    monkeypatch.setattr(sweep, "recorder_for", lambda *args: None)
    for one, call in zip(found, CALLS[kind], strict=True):
        wanted = Explainer(model, **options)(call)
        for name in ("scores", "layer_scores", "gap", "error"):
            # results are float32
            torch.testing.assert_close(getattr(one, name), getattr(wanted, name), rtol=2e-6, atol=1e-8, equal_nan=True)


@needs_cpu
@pytest.mark.parametrize("kind", ["bert", "timm-avg"])
def test_what_lies_in_the_padding_changes_no_bit(kind: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    padded_alone(monkeypatch)
    plain = Explainer(tiny(kind), engine="native")(CALLS[kind][0])
    real = PathEndpoints.padded

    def strange(self: PathEndpoints, rows: Tensor, length: int) -> PathEndpoints:
        found = real(self, rows, length)
        others = torch.ones(len(found.low[0]), dtype=torch.bool).index_fill_(0, rows, False)
        for ends in (found.low, found.high, found.qkv_low, found.qkv_high):
            for end in filter(len, ends):  # the projections of block 0 may be left out
                end[others] = 1e3 * torch.randn(int(others.sum()), end.shape[1])
        return found

    idle = Slots.of

    def elsewhere(points: PathPoints, lengths: Any, shape: BatchKey) -> Slots:
        found = idle(points, lengths, shape)
        others = np.setdiff1d(np.arange(len(found.points)), found.own)
        assert len(others)
        found.points.node[others] = 0.77
        return found

    monkeypatch.setattr(PathEndpoints, "padded", strange)
    monkeypatch.setattr(Slots, "of", elsewhere)
    found = Explainer(tiny(kind), engine="native")(CALLS[kind][0])
    for name in ("scores", "layer_scores"):
        assert torch.equal(getattr(found, name).nan_to_num(), getattr(plain, name).nan_to_num())


def sentences() -> list[dict[str, Tensor]]:
    """Ids of as many tokens as sentences have: log-normal, median 20."""
    drawn = random.Random(0)
    lengths = [max(6, min(40, int(drawn.lognormvariate(math.log(20), 0.45)))) for _ in range(WARM + TEXTS)]
    return [ids(n, seed=seed) for seed, n in enumerate(lengths)]


@needs_cpu
@pytest.mark.parametrize("guarantee", ["layers", "scores"])
def test_most_batches_of_sentences_are_replayed(guarantee: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    hits: list[bool] = []
    real = NativeRun._wave

    def wave(self: NativeRun, points: PathPoints) -> Tensor:
        before = fake.replayed, fake.recorded
        found = real(self, points)
        hits.append(fake.replayed == before[0] + 2 and fake.recorded == before[1])
        workspace = self._engine.workspace
        for graphs in (workspace.graphs, workspace.padded_graphs):
            assert max(len(graphs.forward.keys), len(graphs.backward.keys)) <= cuda_graphs.KEEP
        return found

    monkeypatch.setattr(NativeRun, "_wave", wave)
    explainer, texts = Explainer(tiny("bert"), engine="native", guarantee=guarantee), sentences()
    assert len({call["input_ids"].shape[1] for call in texts[WARM:]}) > 20
    for call in texts[:WARM]:
        explainer(call)
    hits.clear()
    for call in texts[WARM:]:
        explainer(call)
    assert len(hits) >= TEXTS
    assert sum(hits) >= 0.9 * len(hits)


def need(counts: tuple[int, ...], longest: int) -> Need:
    layers = np.repeat(np.arange(len(counts)), counts)
    points = PathPoints(layer=layers, row=np.zeros_like(layers), node=np.zeros(len(layers)))
    return Need.of(points, np.full(len(layers), longest), len(counts))


def test_two_batches_that_one_shape_serves_make_a_recording() -> None:
    choice, first, second = Buckets(), need((5, 3, 0), 20), need((6, 2, 1), 30)
    assert choice.shape(first, [], True) == (None, None)
    shape, old = choice.shape(second, [], True)
    assert shape is not None
    assert old is None
    assert (shape.layers, set(shape.lengths), shape.padded) == ((0,) * 6 + (1,) * 3 + (2,), {32}, True)
    assert choice.shape(first, [shape], True) == choice.shape(second, [shape], False) == (shape, None)


def test_a_recording_grows_where_it_serves_more() -> None:
    choice, small = Buckets(), need((2, 2), 16).with_others(need((2, 2), 16))
    wider = need((4, 1), 20)
    assert choice.shape(wider, [small], False) == (None, None)
    shape, old = choice.shape(wider, [small], False)
    assert old == small
    assert shape is not None
    assert (shape.layers, shape.lengths[0]) == ((0,) * 4 + (1,) * 2, 32)


def test_a_shape_that_takes_far_more_work_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "IDLE_ROWS", 0)
    large, one = need((16, 16), 128), need((1, 0), 10)
    shape = large.with_others(large)
    assert large.fits(shape)
    assert not one.fits(shape)
    assert not need((17, 0), 128).fits(shape)
    assert not need((1, 0), 129).fits(shape)
    assert Buckets().shape(one, [shape], True) == (None, None)
    assert work_of(shape, 2) == 128 * (16 * 2 + 16)


def test_slots_hold_the_points_that_were_asked_for() -> None:
    points = PathPoints(layer=np.array([0, 0, 2]), row=np.array([1, 0, 1]), node=np.array([0.5, 0.25, 0.75]))
    shape = BatchKey((0, 0, 0, 1, 2, 2), (16,) * 6, padded=True)
    slots = Slots.of(points, np.array([9, 7, 9]), shape)
    assert slots.own.tolist() == [0, 1, 4]
    for name in ("layer", "row", "node"):
        assert getattr(slots.points, name)[slots.own].tolist() == getattr(points, name).tolist()
    assert slots.points.layer.tolist() == list(shape.layers)
    assert slots.real[slots.own].tolist() == [9, 7, 9]
    assert (slots.real <= 16).all()


def test_ranges() -> None:
    assert ranges(np.array([10, 0, 5]), np.array([2, 0, 3])).tolist() == [10, 11, 5, 6, 7]


def test_counts_are_rounded_up_to_few_sizes() -> None:
    found = [buckets._rounded(n) for n in range(18)]
    assert found == [0, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16, 24]
