"""The probe finds what a batch costs, and what a process makes once."""

import random

import pytest
from helpers import corpora

from calig_fast import Explainer
from calig_fast.corpus import probe
from calig_fast.corpus.explaining import FIRST, Maker, Tables
from calig_fast.corpus.items import Item
from calig_fast.corpus.work import work_of
from calig_fast.pipeline import rounding


class Clock:
    """A maker of batches that take b n + c n^2 seconds, more at the start of a part and the first time."""

    def __init__(self, explainer, *, b, c, fresh, once, measured=1.0):
        self.explainer, self.b, self.c, self.fresh, self.once, self.measured = explainer, b, c, fresh, once, measured
        self.now, self.calls, self.made = 0.0, 0, False
        self.batches = Maker(explainer, work_of(explainer, {}), Tables(), True).batches
        explainer.forget = self.forget

    def forget(self):
        self.calls = 0

    def batch(self, items):
        self.calls += 1
        seconds = sum(self.b * size_of(item) + self.c * size_of(item) ** 2 for item in items)
        seconds *= self.fresh if self.calls == 1 else self.measured if self.calls <= rounding.MEASURED else 1.0
        if not self.made:
            seconds += self.once
            self.made = True
        self.now += seconds


def size_of(item):
    return len(item.value["input_ids"][0])


@pytest.fixture
def inputs():
    draw = random.Random(0)
    return [Item(i, {"input_ids": [[1] * draw.randint(4, 200)]}) for i in range(150)]


def cost_of(inputs, size, monkeypatch, **told):
    model, tokenizer = corpora.text_model()
    clock = Clock(Explainer(model, tokenizer), **told)
    monkeypatch.setattr(probe, "_pads", lambda explainer, value: False)
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    parts = [list(clock.batches(inputs[first : first + size])) for first in range(0, len(inputs), size)]
    sizes = [size_of(item) for item in inputs]
    cost = probe.Probe(clock, inputs, sizes, [700]).cost(parts)
    clock.now, clock.made = 0.0, True
    for part in parts:
        clock.forget()
        for batch in part:
            clock.batch(batch)
    return cost, clock.now


@pytest.mark.parametrize("size", [64, 20, FIRST, 150])
@pytest.mark.parametrize(("b", "c"), [(1e-3, 0.0), (1e-3, 1e-5), (0.0, 1e-4)])
def test_the_cost_is_found_where_time_grows_as_it_is_taken_to(size, b, c, inputs, monkeypatch):
    cost, true = cost_of(inputs, size, monkeypatch, b=b, c=c, fresh=1.5, once=0.7)
    assert cost.steady == pytest.approx(true, rel=0.02)
    assert cost.once == pytest.approx(0.7, rel=0.02)
    assert cost.peak_bytes == int(700 * probe.LEFT)


def test_the_groups_are_as_many_calls_as_measure_the_rounding():
    assert probe.MEASURED == rounding.MEASURED == 1 + probe.PROBES // probe.TOGETHER


def test_calls_that_measure_the_rounding_cost_more(inputs, monkeypatch):
    many = [Item(i, inputs[i % 150].value) for i in range(900)]
    cost, true = cost_of(many, 900, monkeypatch, b=1e-3, c=0.0, fresh=2.5, once=0.0, measured=2.0)
    assert cost.steady == pytest.approx(true, rel=0.02)


def test_one_batch_is_its_own_cost(inputs, monkeypatch):
    cost, true = cost_of(inputs[:3], 64, monkeypatch, b=1e-3, c=0.0, fresh=1.5, once=0.0)
    assert cost.steady == pytest.approx(true)
    assert cost.once == 0
    assert cost.peak_bytes == 700


def test_padding_costs_in_the_autograd_engine_alone():
    model, tokenizer = corpora.text_model()
    for engine, padded in (("native", False), ("autograd", True)):
        explainer = Explainer(model, tokenizer, engine=engine)
        items = [Item(0, "short"), Item(1, "a longer text with more words")]
        assert probe._pads(explainer, items[0].value) == padded
        one = probe.Probe(Maker(explainer, work_of(explainer, {}), Tables(), True), items, [3, 8], [0])
        assert one._work(items) == ((16, 128) if padded else (11, 73))


def test_the_fit_finds_both_terms_and_none_below_zero():
    sizes = [[10, 12], [50, 60], [200, 220]]
    work = [(sum(group), sum(n**2 for n in group)) for group in sizes]
    for b, c in ((0.01, 0.0), (0.0, 1e-4), (0.02, 3e-5)):
        times = [b * linear + c * square for linear, square in work]
        found = probe._fitted(work, times)
        assert abs(found[0] - b) < 1e-9
        assert abs(found[1] - c) < 1e-9
    assert min(probe._fitted(work, [5.0, 4.0, 3.0])) >= 0
    assert abs(4 * sum(probe._fitted([(4, 4)], [2.0])) - 2.0) < 1e-9  # pictures
