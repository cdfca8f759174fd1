"""Values in dicts, lists and tuples."""

import torch

from calig_fast._utils.nested import mapped, parts

NESTED = {"a": [1, (2, "b")], "c": torch.Size([3])}


def test_parts_are_changed_where_they_stand():
    assert mapped(lambda part: part * 2 if isinstance(part, int) else part, NESTED) == {
        "a": [2, (4, "b")],
        "c": torch.Size([3]),
    }


def test_parts_of_a_kind_come_in_order():
    assert list(parts(NESTED, int)) == [1, 2, 3]
    assert list(parts(NESTED, (str, tuple))) == [(2, "b"), torch.Size([3])]
