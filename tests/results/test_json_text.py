"""The JSON of a result: it comes back whole, fits its schema, and a changed one is refused by its name."""

import copy
import json
import math
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from helpers.exported import exported
from helpers.synthetic import cases, with_maps
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Attribution, explain

CASES = {**cases(), **exported(), "maps": with_maps(exported()["texts"])}


def same(a, b):
    for f in fields(Attribution):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, torch.Tensor):
            assert y.dtype == x.dtype, f.name
            assert y.shape == x.shape, f.name
            torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("name", CASES)
def test_it_comes_back_whole(name, tmp_path):
    a = CASES[name]
    text = a.to_json()
    same(Attribution.from_json(text), a)
    same(Attribution.from_json(text.encode("utf-8", "backslashreplace")), a)
    assert a.to_json(tmp_path / "a.json") == text
    same(Attribution.from_json(tmp_path / "a.json"), a)
    same(Attribution.from_json(str(tmp_path / "a.json")), a)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_real_explanations_come_back_whole():
    for a in (
        explain(tiny("bert"), ids(9, 4), return_maps=True),
        explain(tiny("vit"), pixels(2)),
        explain(tiny("bert"), ids(5), target="all"),
        explain(tiny("bert"), ids(5), method="rollout"),
    ):
        same(Attribution.from_json(a.to_json()), a)


@pytest.mark.parametrize("name", CASES)
def test_it_fits_the_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(Attribution.json_schema())
    assert [e.message[:200] for e in validator.iter_errors(json.loads(CASES[name].to_json()))] == []


def test_the_schema_is_a_file_of_the_package():
    file = resources.files("calig_fast.results").joinpath("attribution.schema.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    assert schema == Attribution.json_schema()
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_names_every_tensor_and_every_field():
    schema = Attribution.json_schema()
    a = CASES["maps"]
    tensors = {f.name for f in fields(a) if f.type.startswith("Tensor")}
    assert set(schema["properties"]["tensors"]["properties"]) == tensors
    rest = {f.name for f in fields(a)} - tensors
    assert set(schema["properties"]) == rest | {"kind", "schema_version", "tensors"}


def test_no_number_is_missing_from_plain_json():
    text = CASES["not finite"].to_json()
    values = json.loads(text, parse_constant=lambda name: pytest.fail(name))["tensors"]["scores"]["values"]
    assert values[0][3:5] == ["NaN", "Infinity"]
    assert json.loads(CASES["texts"].to_json())["tensors"]["scores"]["values"] == CASES["texts"].scores.tolist()


def changed(path, value):
    document = json.loads(CASES["images"].to_json() if path[0] == "grid" else CASES["texts"].to_json())
    at = document
    for name in path[:-1]:
        at = at[name]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


WRONG = [
    (("kind",), "other"),
    (("kind",), ...),
    (("schema_version",), 2),
    (("schema_version",), ...),
    (("method",), 3),
    (("extra",), 1),
    (("tensors",), []),
    (("tensors", "scores"), ...),
    (("tensors", "more"), {"dtype": "bool", "shape": [1], "values": [True]}),
    (("tensors", "scores", "dtype"), "float64"),
    (("tensors", "scores", "more"), 1),
    (("tensors", "scores", "values"), "x"),
    (("tensors", "scores", "values", 0), 1.0),
    (("tensors", "scores", "values", 0, 0), None),
    (("tensors", "scores", "values", 0, 0), "nan"),
    (("tensors", "scores", "values", 0, 0), True),
    (("tensors", "scores", "shape"), [-1, 3]),
    (("tensors", "n_steps", "values", 0, 0), 1.5),
    (("tensors", "mask", "values", 0, 0), 1),
    (("texts", 0, "tokens"), "abc"),
    (("texts", 0, "words", 0, "tokens"), [-1]),
    (("labels",), "abc"),
    (("settings", "tolerance"), "small"),
    (("grid", "rows"), "3"),
]  # fmt: skip
DISAGREEING = [
    (("tensors", "scores", "values", 0), [1.0]),
    (("tensors", "scores", "shape"), [2, 3]),
    (("tensors", "scores", "values", 0, 0), 1e300),
    (("texts", 0, "tokens"), []),
    (("texts",), []),
    (("grid", "rows"), 4),
]


@pytest.mark.parametrize(("path", "value"), WRONG + DISAGREEING, ids=str)
def test_a_changed_one_is_refused(path, value):
    with pytest.raises(ValueError, match="source: no attribution that this release can read"):
        Attribution.from_json(json.dumps(changed(path, value)))


@pytest.mark.parametrize(("path", "value"), WRONG, ids=str)
def test_the_schema_refuses_it_too(path, value):
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(Attribution.json_schema()).is_valid(changed(path, value))


@pytest.mark.parametrize(
    ("source", "kind", "say"),
    [
        ("{", ValueError, "source: no JSON"),
        ("[1]", ValueError, "source: no attribution"),
        ('{"a": NaN}', ValueError, 'write "NaN"'),
        ("{" * 100_000, ValueError, "source: no JSON"),
        (b"\xff{", ValueError, "source: no JSON"),
        ("no/such/file.json", FileNotFoundError, "there is no file"),
        ("", ValueError, "source: expected the name of a file"),
        ("/dev/null", ValueError, "source: expected a file, got a pipe or a device"),
        (Path(__file__), ValueError, "test_json_text.py: no JSON"),
        (Path(__file__).parent, IsADirectoryError, "Is a directory"),
        (3, TypeError, "source: expected JSON text"),
        (None, TypeError, "source: expected JSON text"),
    ],
)
def test_what_is_no_json(source, kind, say):
    with pytest.raises(kind) as found:
        Attribution.from_json(source)
    assert say in str(found.value)


def test_a_setting_that_is_no_plain_value_is_named(tmp_path):
    for value in (object(), math.nan):
        a = replace(CASES["texts"], settings={"own": value})
        with pytest.raises(TypeError, match="settings: "):
            a.to_json(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_the_caller_may_change_the_schema():
    schema = Attribution.json_schema()
    wanted = copy.deepcopy(schema)
    schema.clear()
    assert Attribution.json_schema() == wanted
