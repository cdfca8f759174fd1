"""Arguments checked: numbers of every kind are taken, and what came is shown in one line."""

import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from calig_fast._utils import arguments as check

WHOLE = (2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2), torch.tensor(2, dtype=torch.int8))
NO_INT = (True, np.bool_(True), torch.tensor(True), 2.0, np.float32(2), "2", None, [2], np.array([2]), 2j, b"2", {2})


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_an_int_of_any_library(value):
    found = check.integer("count", value, 1, 5)
    assert found == 2
    assert type(found) is int
    assert check.position("index", value, 5) == 2


@pytest.mark.parametrize("value", NO_INT, ids=repr)
def test_no_int(value):
    with pytest.raises(TypeError, match=r"count: expected an int of at least 1, got .*; give one"):
        check.integer("count", value, 1, mend="give one")
    with pytest.raises(TypeError, match="index: expected an int, one of 5 inputs"):
        check.position("index", value, 5)


def test_bounds_of_an_int():
    for value, words in ((0, "at least 1, got 0"), (9, "at most 5, got 9"), (10**400, "an int of 1329 bits")):
        with pytest.raises(ValueError, match=f"count: .*{words}"):
            check.integer("count", value, 1, 5)
    for value in (5, -6, 10**30):
        with pytest.raises(IndexError, match=r"layer: .*this attribution holds 5 layers"):
            check.position("layer", value, 5, "layers")
    assert check.position("layer", -5, 5) == 0


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)], ids=repr)
def test_a_number_of_any_library(value):
    found = check.between("share", value, "a share", 0, 1)
    assert found == 0.5
    assert type(found) is float
    assert check.positive("share", value) == 0.5


@pytest.mark.parametrize("value", [True, "0.5", None, [0.5], 1j, decimal.Decimal(1), np.array([0.5]), len], ids=repr)
def test_no_number(value):
    with pytest.raises(TypeError, match="share: expected a share, got "):
        check.number("share", value, "a share")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -1, 2, torch.tensor(math.nan)], ids=str)
def test_numbers_outside(value):
    with pytest.raises(ValueError, match="share: expected a share from 0 to 1, got "):
        check.between("share", value, "a share from 0 to 1", 0, 1)


def test_open_bounds_and_positive_numbers():
    for value, options in ((0, {"open_low": True}), (1, {"open_high": True})):
        assert check.between("share", value, "a share", 0, 1) == value
        with pytest.raises(ValueError, match="share"):
            check.between("share", value, "a share", 0, 1, **options)
    for value in (0, math.inf, -1, 10**400):
        with pytest.raises(ValueError, match="expected a positive number"):
            check.positive("tolerance", value)


def test_one_of_several_names():
    assert check.choice("engine", np.str_("b"), ("a", "b")) == "b"
    for value in ("c", "B", None, [], {}, ["a"], np.array(["a", "b"]), torch.zeros(2), b"a", 1):
        with pytest.raises(ValueError, match='engine: expected one of "a", "b"; got '):
            check.choice("engine", value, ("a", "b"))


def test_true_or_false():
    for value in (True, np.bool_(True), torch.tensor(True), np.array(True)):
        assert check.flag("absolute", value) is True
    for value in (1, 0, "yes", None, [], torch.zeros(2), torch.zeros(())):
        with pytest.raises(TypeError, match="absolute: expected True or False, got "):
            check.flag("absolute", value)


def test_tensors_of_numbers():
    for value in ([[1, 2]], ((1, 2),), np.array([[1, 2]]), torch.tensor([[1, 2]]), [np.array([1, 2])]):
        assert check.as_tensor("scores", value, "scores").tolist() == [[1, 2]]
    assert check.as_tensor("scores", [0.1], "scores").tolist() == [0.1]  # in float64
    assert check.as_tensor("scores", range(3), "scores").tolist() == [0, 1, 2]


def test_no_tensors_of_numbers():
    loop = []
    loop.append(loop)
    strange = [
        "12", b"12", ["a"], [[1], [1, 2]], [None], None, {}, {1}, object(), loop, range(10**9), iter([1]), 1j,
        [10**400], np.array(["a"]), np.array([None]), torch.zeros(2, device="meta"), torch.eye(2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64), memoryview(b"12"),
    ]  # fmt: skip
    for value in strange:
        with pytest.raises(TypeError, match="scores: expected scores"):
            check.as_tensor("scores", value, "scores")


def test_devices():
    assert check.as_device("device", "cpu") == torch.device("cpu") == check.as_device("device", torch.device("cpu"))
    for value in ("warp", "cuda:999", ""):
        with pytest.raises(ValueError, match=r"device: .* is not usable here"):
            check.as_device("device", value)
    for value in (3, None, ["cpu"]):
        with pytest.raises(TypeError, match="device: expected a device or its name"):
            check.as_device("device", value)


def test_functions_of_so_many_arguments():
    assert check.takes(lambda x: x, 1)
    assert check.takes(lambda *x: x, 5)
    assert check.takes(print, 2)
    assert check.takes(lambda x, y=1: x, 1)
    assert not check.takes(lambda: 0, 1)
    assert not check.takes(lambda *, x: 0, 1)


def test_what_came_is_one_short_line():
    class Wordless:
        def __repr__(self):
            raise RuntimeError("no text")

    values = ["a\nb", "word " * 99, torch.zeros(99, 99), np.zeros((99, 99)), 10**5000, Wordless(), [[0] * 99] * 99]
    for value in values:
        for text in (check.shown(value), check.kind(value)):
            assert "\n" not in text
            assert len(text) < 120
    assert check.shown(Wordless()) == "a Wordless"
    assert check.kind(np.int64(3)) == "np.int64(3) (int64)"


class Column:
    """Rows whose labels do not begin at 0, as a part of a table has them."""

    def __len__(self):
        return 2

    def __getitem__(self, label):
        return {7: 1.5, 8: 2.5}[label]

    def __array__(self, dtype=None, copy=None):
        return np.array([1.5, 2.5])


class Endless:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return 0.5


class Failing:
    def __len__(self):
        raise KeyError("of the caller's own")


def test_columns_are_read_by_place_and_no_further_than_their_length():
    assert check.as_tensor("a", Column(), "numbers").tolist() == [1.5, 2.5]
    assert check.as_tensor("a", Endless(), "numbers").tolist() == [0.5, 0.5]
    with pytest.raises(TypeError, match="a: expected numbers, got"):
        check.as_tensor("a", Failing(), "numbers")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged), "nested"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8), "quantised"),
        (torch.ones(2).to(torch.float8_e5m2), "eight-bit"),
        (torch.ones(2), ""),
    ],
)
def test_tensors_of_rare_kinds_are_told_and_refused(value, told):
    assert check.rare_kind(value) == told
    assert f"a {told}".strip() in check.shown(value)
    if told:
        with pytest.raises(TypeError, match=f"a: expected numbers of real numbers, .* got a {told} tensor"):
            check.as_tensor("a", value, "numbers")


def test_functions_and_names():
    check.function("f", len, 1, "a function")
    assert check.text("name", "a", "a name") == "a"
    for wrong in (3, lambda: None):
        with pytest.raises(TypeError, match="f: expected a function of one, got"):
            check.function("f", wrong, 1, "a function of one")
    with pytest.raises(TypeError, match="name: expected a name, got 3"):
        check.text("name", 3, "a name")
    with pytest.raises(ValueError, match="name: expected a name, got an empty text"):
        check.text("name", "", "a name")
