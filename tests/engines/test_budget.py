"""The default memory budget of a batch of path points."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_models import tiny

from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.budget import default_budget, room_for_waves
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.model.families import find

GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(("gib", "wanted"), [(2, 56 * 2**20), (16, 2**28), (80, 80 * 2**24)])
def test_a_gpu_takes_more_where_it_has_more(monkeypatch, gib, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gib * 2**30))
    assert default_budget(GPU, 56 * 2**20) == wanted
    assert default_budget(torch.device("cpu"), 56 * 2**20) == 56 * 2**20


@pytest.mark.parametrize("engine", [NativeEngine, AutogradEngine])
def test_an_engine_asks_for_its_device_and_takes_what_it_is_told(engine):
    model = tiny("bert")
    encoder = find(model)
    least = {NativeEngine: 56, AutogradEngine: 512}[engine] * 2**20
    assert engine(model, encoder, dtype=None, memory_budget=None, backend="torch").budget == least
    assert engine(model, encoder, dtype=None, memory_budget=2**21, backend="torch").budget == 2**21


def test_a_given_budget_holds_both_ends_and_a_wave_has_a_quarter_at_least():
    ends = [torch.zeros(3, 4), torch.zeros(2)]  # 56 bytes
    endpoints = SimpleNamespace(slopes=[SimpleNamespace(maps=[torch.zeros(6)]), SimpleNamespace(maps=None)])  # 24 bytes
    assert room_for_waves(SimpleNamespace(budget=200, bounded=True), ends, endpoints) == 120
    assert room_for_waves(SimpleNamespace(budget=100, bounded=True), ends, endpoints) == 25
    assert room_for_waves(SimpleNamespace(budget=100, bounded=False), ends, endpoints) == 100
