"""Runs of one engine beside each other: each gives what it gives alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.base import PathPoints
from calig_fast.engines.native.engine import NativeEngine

ENGINES = {"native": NativeEngine, "autograd": AutogradEngine}


def started(monkeypatch, kind, calls, name):
    """One engine, and the problems of some calls."""
    seen, start = [], ENGINES[name].start

    def watched(self, problem):
        seen.append((self, problem))
        return start(self, problem)

    with monkeypatch.context() as patch:
        patch.setattr(ENGINES[name], "start", watched)
        for call in calls:
            explain(tiny(kind), call, engine=name, n_steps=1)
    return seen[0][0], [problem for _, problem in seen]


def points(batch):
    grid = [(layer, row, node) for layer in (0, 1, 2) for row in range(batch) for node in (0.25, 0.5)]
    layer, row, node = (np.array(column) for column in zip(*grid, strict=True))
    return PathPoints(layer=layer, row=row, node=node)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("kind", ["bert", "albert", "vit", "timm-avg"])
def test_runs_beside_each_other_are_what_each_is_alone(kind, name, monkeypatch):
    calls = [ids(9), ids(5, seed=3), ids(12, seed=4)] if kind in {"bert", "albert"} else [pixels(1), pixels(1) * 2]
    engine, problems = started(monkeypatch, kind, calls, name)
    asked = points(1)
    alone = [engine.start(problem).integrand(asked) for problem in problems]
    for _ in range(2):
        runs = [engine.start(problem) for problem in problems]
        for run, wanted in zip(runs, alone, strict=True):
            for found, value in zip(run.integrand(asked), wanted, strict=True):
                assert torch.equal(found, value)
        for run, wanted in zip(reversed(runs), reversed(alone), strict=True):
            assert torch.equal(run.integrand(asked)[0], wanted[0])
    assert not torch.equal(alone[0][0][..., :5], alone[1][0][..., :5])


@pytest.mark.parametrize("name", ENGINES)
def test_runs_from_two_threads_are_what_each_is_alone(name, monkeypatch):
    engine, problems = started(monkeypatch, "bert", [ids(9), ids(5, seed=3)], name)
    asked = points(1)
    alone = [engine.start(problem).integrand(asked)[0] for problem in problems]

    def many(i):
        with torch.enable_grad():
            return all(torch.equal(engine.start(problems[i]).integrand(asked)[0], alone[i]) for _ in range(15))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(many, [0, 1])) == [True, True]
