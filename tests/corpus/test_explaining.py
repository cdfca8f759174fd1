"""Inputs are packed by their tokens; one bad input costs no other."""

from unittest import mock

import pytest
import torch
from helpers import corpora

from calig_fast import Explainer
from calig_fast.corpus import explaining
from calig_fast.corpus.explaining import Maker, Tables
from calig_fast.corpus.items import Item, content
from calig_fast.corpus.work import work_of
from calig_fast.engines.budget import Budget, BudgetError


def maker(tables=None, **options):
    explainer = Explainer(*corpora.text_model(), **options)
    return Maker(explainer, work_of(explainer, {}), tables or Tables(), True)


def items(texts):
    made = [Item(number, text) for number, text in enumerate(texts)]
    return [(item, content(item)) for item in made]


def test_batches_hold_each_input_once_and_like_lengths(monkeypatch):
    monkeypatch.setattr(explaining, "TOKENS", 100)
    texts = corpora.sentences(60)
    given = [item for item, _ in items(texts)]
    batches = list(maker().batches(given))
    assert sorted(item.id for batch in batches for item in batch) == list(range(60))
    counts = explaining.lengths(texts, corpora.text_model()[1])
    assert len(batches[0]) == explaining.FIRST
    for batch in batches[1:]:
        assert len(batch) * max(counts[item.id] for item in batch) <= 100 or len(batch) == 1
    longest = [max(counts[item.id] for item in batch) for batch in batches[1:]]
    assert longest == sorted(longest)
    assert len(list(maker(Tables(maps=True)).batches(given))) >= len(batches)


def test_lengths_are_those_of_the_tokenizer():
    tokenizer = corpora.text_model()[1]
    assert explaining.lengths(["a film", ""], tokenizer) == [4, 2]
    assert explaining.lengths([("a", "film")], tokenizer) == [5]
    assert explaining.lengths(["word " * 9000], tokenizer) == [min(tokenizer.model_max_length, 9002)]
    assert explaining.lengths([{"input_ids": torch.ones(1, 7)}, corpora], None) == [7, 1]


def test_a_bad_input_costs_no_other():
    texts = corpora.sentences(12)
    good = maker().explained(items(texts))
    for place in (0, 5, 11):
        found = {one.id: one for one in maker().explained(items([*texts[:place], " ", *texts[place + 1 :]]))}
        assert [number for number, one in found.items() if one.units is None] == [place]
        assert "empty" in found[place].told["error"]
    assert sorted(one.id for one in good) == list(range(12))


def test_a_model_that_fails_at_one_input_fails_there_alone():
    texts = [*corpora.sentences(5), "poison"]
    real = Explainer.__call__

    def call(self, inputs, **more):
        if "poison" in inputs:
            raise RuntimeError("the model's own code fails")
        return real(self, inputs, **more)

    with mock.patch.object(Explainer, "__call__", call):
        found = {one.id: one for one in maker().explained(items(texts))}
    assert found[5].told["error"] == "RuntimeError: the model's own code fails"
    assert all(found[number].units is not None for number in range(5))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("full"), ValueError("target: 7 is outside")])
def test_errors_that_are_of_no_input_end_the_run(error):
    with mock.patch.object(Explainer, "__call__", side_effect=error), pytest.raises(type(error)):
        maker().explained(items(["a film"]))


def test_a_model_that_fails_everywhere_ends_the_run():
    error = ValueError("model: it returns nan")
    with mock.patch.object(Explainer, "__call__", side_effect=error), pytest.raises(ValueError, match="returns nan"):
        maker().explained(items(["a film", "dull"]))


def test_an_input_without_room_costs_no_other(monkeypatch):
    def check(budget, needed, tokens):
        if tokens > 20:
            raise BudgetError(f"memory_budget: expected more for {tokens} tokens")

    monkeypatch.setattr(Budget, "check", check)
    monkeypatch.setattr("calig_fast.engines.native.recomputed.too_much", lambda size, budget: True)
    texts = [*corpora.sentences(3), "a long film " * 9]
    found = {one.id: one for one in maker(memory_budget=2**20).explained(items(texts))}
    assert [number for number, one in found.items() if one.units is None] == [3]
    assert found[3].told["error"].startswith("memory_budget: expected more for 29 tokens")
