"""The contents of a file: every field, of its dtype, shape and type."""

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from helpers.looks import attribution

from calig_fast import Attribution
from calig_fast.results import schema
from calig_fast.results.provenance import Provenance
from calig_fast.results.tokens import Grid, Text, Word


def values(**changed):
    a = replace(attribution("two words", [0.5, -0.5]), settings={"layers": [0, 3], "tolerance": 0.1})
    return {**{f.name: getattr(a, f.name) for f in fields(a)}, **changed}


def parts(**changed):
    """Tensors and the record."""
    found = values(**changed)
    return {n: v for n, v in found.items() if isinstance(v, torch.Tensor)}, schema.plain(found)


def test_every_field_is_a_tensor_or_in_the_record():
    assert {f.name for f in fields(Attribution)} == {*schema.TENSORS, *schema.RECORD}
    assert set(schema._SETTINGS) == {f.name for f in fields(Provenance)} - {"others"}
    for kind, known in ((Text, schema._TEXT), (Word, schema._WORD), (Grid, schema._GRID)):
        assert {f.name for f in fields(kind)} == set(known)


def test_it_comes_back():
    tensors, record = parts()
    schema.check(tensors, record)
    back = schema.fields_of(tensors, record)
    assert set(back) == {f.name for f in fields(Attribution)}
    assert (back["texts"], back["target"] is tensors["target"], back["maps"]) == (values()["texts"], True, None)


def test_numbers_of_numpy_and_tuples_become_plain():
    settings = {"tolerance": np.float32(0.5), "n_steps": np.int64(4), "layers": (0, 1)}
    assert schema.plain(values(settings=settings))["settings"] == {"tolerance": 0.5, "n_steps": 4, "layers": [0, 1]}


@pytest.mark.parametrize("name", [n for n in schema.TENSORS if n not in ("images", "maps", "source", "bypass", "ends")])
def test_a_tensor_of_another_dtype_or_shape_or_none(name):
    tensors, record = parts()
    tensor = tensors[name]
    wrong = [tensor.to(torch.int32), tensor[..., None], tensor[0], torch.cat([tensor, tensor])]
    wrong += [tensor[..., :-1]] if tensor.dim() > 1 else []
    if name == "logits":  # it alone says how many classes there are
        wrong.pop()
    for one in wrong:
        with pytest.raises(ValueError, match=r"\w+: expected \w+ \[.*\], got \w+ \["):
            schema.check({**tensors, name: one}, record)
    del tensors[name]
    if name not in schema.OPTIONAL:
        with pytest.raises(ValueError, match=f"tensors: lacks {name}$"):
            schema.check(tensors, record)


def test_optional_tensors_fit_the_others():
    tensors, record = parts()
    good = {
        "maps": torch.zeros(1, 2, 4, 4),
        "images": torch.zeros(1, 5, 6, 3, dtype=torch.uint8),
        "source": torch.zeros(1, dtype=torch.int64),
        "bypass": torch.zeros(1, 2),
        "target": torch.zeros(1, 2, dtype=torch.int64),
    }
    schema.check({**tensors, **good}, record)
    wrong = {
        "maps": good["maps"][:, :1],
        "images": good["images"][..., :2],
        "source": good["source"].float(),
        "bypass": good["bypass"][:, :1],
    }
    for name, one in {**wrong, "target": torch.zeros(1, 3, dtype=torch.int64)}.items():
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            schema.check({**tensors, name: one}, record)
    with pytest.raises(ValueError, match="holds 'more', which this release does not know"):
        schema.check({**tensors, "more": torch.zeros(1)}, record)


def paths(found, before=()):
    """The place of every value in a document."""
    yield before
    if isinstance(found, dict | list):
        for key in found if isinstance(found, dict) else range(len(found)):
            yield from paths(found[key], (*before, key))


def at(found, path):
    for key in path:
        found = found[key]
    return found


OTHERS = (None, True, 3, -1, 1.5, "x", [], {}, [None], [[1]], {"a": 1}, [{}])


@pytest.mark.parametrize("pictures", [False, True])
def test_every_value_of_another_type_is_refused_or_can_be_shown(pictures):
    """A file may be read if null is a value there, or one integer is as good as another."""
    tensors, record = parts(**({"texts": None, "grid": Grid(1, 2, 2)} if pictures else {}))
    schema.check(tensors, record)
    refused = 0
    for path in list(paths(record))[1:]:
        for other in OTHERS:
            if type(other) is type(at(record, path)) and not isinstance(other, list | dict):
                continue
            changed = copy.deepcopy(record)
            at(changed, path[:-1])[path[-1]] = other
            try:
                schema.check(tensors, changed)
            except ValueError:
                refused += 1
                continue
            a = Attribution(**schema.fields_of(tensors, changed))
            assert a.statement()
            assert a.label()
            if a.texts or a.grid:
                assert a.to_html()
    assert refused > (150 if pictures else 400)


def test_names_that_are_missing_or_unknown():
    tensors, record = parts()
    places = [path for path in paths(record) if isinstance(at(record, path), dict)]
    for path in places:
        for name in at(record, path):
            changed = copy.deepcopy(record)
            del at(changed, path)[name]
            if path == ("settings",) or name in {"height", "width", "part", "windows"}:  # new since format 1
                schema.check(tensors, changed)
                continue
            with pytest.raises(ValueError, match=f"lacks {name}"):
                schema.check(tensors, changed)
        changed = copy.deepcopy(record)
        at(changed, path)["more"] = 1
        if path == ("settings",):
            schema.check(tensors, changed)
            continue
        with pytest.raises(ValueError, match="holds 'more', which this release does not know"):
            schema.check(tensors, changed)
    for other in OTHERS:
        with pytest.raises(ValueError, match="record"):
            schema.check(tensors, other)


@pytest.mark.parametrize(
    ("change", "say"),
    [
        ({"texts": ()}, "texts: expected 1, one for each row of the tensors, got 0"),
        ({"texts": (Text(("a",), ()),)}, r"texts\[0\]: expected 4 tokens, as the mask has, got 1"),
        ({"texts": (Text(tuple("abcd"), (Word("a", (4,)),)),)}, r"texts\[0\]: a word has tokens \[4\], outside 0\.\.3"),
        ({"grid": Grid(1, 2, 2)}, "grid: expected null beside texts"),
        ({"texts": None, "grid": Grid(2, 2, 1)}, r"grid: expected prefix \+ rows x columns .* 4 tokens"),
        ({"texts": None, "grid": Grid(-1, -3, 1)}, "grid: expected prefix"),
        ({"settings": {"layers": [0]}}, "settings: expected 2 layers, as layer_scores has, got 1"),
    ],
)
def test_parts_that_do_not_belong_together(change, say):
    with pytest.raises(ValueError, match=say):
        schema.check(*parts(**change))


def test_padding_on_the_left_moves_the_words():
    found = values(
        mask=torch.tensor([[False, True, True, True]]), texts=(Text(("[CLS]", "a", "b"), (Word("a b", (2, 3)),)),)
    )
    tensors = {n: v for n, v in found.items() if isinstance(v, torch.Tensor)}
    schema.check(tensors, schema.plain(found))
