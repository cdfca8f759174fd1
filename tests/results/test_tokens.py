"""The parts of an input: compared by what they hold, and not to be changed."""

from dataclasses import FrozenInstanceError

import pytest

from calig_fast import Grid, Text, Word


def test_what_is_not_told():
    assert Word("a", (1,)) == Word("a", (1,), -1, -1)
    assert Text(("[CLS]", "a"), (Word("a", (1,)),)) == Text(("[CLS]", "a"), (Word("a", (1,)),), None, 0)
    assert Grid(2, 3) == Grid(2, 3, 1)
    assert Grid(2, 3) != Grid(3, 2)


@pytest.mark.parametrize(("part", "name"), [(Word("a", (1,)), "text"), (Text((), ()), "words"), (Grid(1, 1), "rows")])
def test_parts_are_frozen(part, name):
    with pytest.raises(FrozenInstanceError):
        setattr(part, name, None)
    assert hash(part) == hash(type(part)(*(getattr(part, f) for f in part.__dataclass_fields__)))
