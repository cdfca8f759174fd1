"""Parts are of consecutive inputs, and no id stands twice among many."""

import pytest

from calig_fast.corpus import plan
from calig_fast.corpus.columns import Columns
from calig_fast.corpus.items import Item, Picture
from calig_fast.corpus.sources import Source, opened


def sizes(source, size):
    return [len(group) for group in plan.groups(source, size)]


def test_groups_have_a_size_and_a_weight(monkeypatch):
    assert sizes(opened(["a"] * 10, Columns()), 4) == [4, 4, 2]
    assert sizes(opened([], Columns()), 4) == []
    monkeypatch.setattr(plan, "MOST_BYTES", 250)
    large = Source(lambda: (Item(i, Picture(bytes(100))) for i in range(5)), True, lambda: 5)
    assert sizes(large, 4) == [2, 2, 1]
    larger = Source(lambda: (Item(i, Picture(bytes(1000))) for i in range(2)), True, lambda: 2)
    assert sizes(larger, 4) == [1, 1]


def test_an_id_is_found_among_many():
    seen = plan._Seen()
    for number in range(20_000):
        seen.add(f"id {number}")
    for number in (0, 4095, 4096, 12_345, 19_999):
        with pytest.raises(ValueError, match="stands twice"):
            seen.add(f"id {number}")
    assert sum(map(len, seen._sorted)) + len(seen._last) == 20_000
