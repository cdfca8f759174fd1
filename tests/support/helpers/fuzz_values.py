"""Values of every kind, each by a name that repeats it, for calls that are drawn at random."""

import datetime
import decimal
import fractions
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Values = dict[str, Callable[[], Any]]


class OwnError(Exception):
    """The error that a function of the caller's raises: it must come through as it is."""


def fails(*args: Any, **options: Any) -> Any:
    raise OwnError("of the caller's own function")


def loop() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def deep(depth: int = 200) -> list[Any]:
    found: list[Any] = [0]
    for _ in range(depth):
        found = [found]
    return found


class Nothing:
    """An object of no use."""

    def __repr__(self) -> str:
        return "<nothing>"


NUMBERS: Values = {
    "0": lambda: 0,
    "1": lambda: 1,
    "2": lambda: 2,
    "-1": lambda: -1,
    "7": lambda: 7,
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "0.5": lambda: 0.5,
    "1.0": lambda: 1.0,
    "-0.5": lambda: -0.5,
    "1e-300": lambda: 1e-300,
    "1e308": lambda: 1e308,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "True": lambda: True,
    "False": lambda: False,
    "Decimal": lambda: decimal.Decimal("0.5"),
    "Fraction": lambda: fractions.Fraction(1, 2),
    "np.float32": lambda: np.float32(0.5),
    "np.float16 nan": lambda: np.float16("nan"),
    "np.int64": lambda: np.int64(1),
    "np.uint8": lambda: np.uint8(1),
    "np.bool_": lambda: np.bool_(True),
    "np.complex64": lambda: np.complex64(1j),
    "np.datetime64": lambda: np.datetime64("2020-01-01"),
    "np 0-dim": lambda: np.array(1),
    "np 0-dim float": lambda: np.array(0.5),
    "tensor(1)": lambda: torch.tensor(1),
    "tensor(0.5)": lambda: torch.tensor(0.5),
    "tensor(True)": lambda: torch.tensor(True),
    "tensor(nan)": lambda: torch.tensor(math.nan),
    "tensor(1j)": lambda: torch.tensor(1j),
}

WRITTEN: Values = {
    "''": lambda: "",
    "'x'": lambda: "x",
    "'0'": lambda: "0",
    "'1.5'": lambda: "1.5",
    "'nan'": lambda: "nan",
    "'auto'": lambda: "auto",
    "'2GB?'": lambda: "2GB?",
    "surrogate": lambda: "\ud800",
    "line ends": lambda: "a\nb\u2028c\x00",
    "long": lambda: "word " * 400,
    "np.str_": lambda: np.str_("calig"),
    "bytes": lambda: b"x",
    "bytearray": lambda: bytearray(b"ab"),
    "memoryview": lambda: memoryview(b"ab"),
    "Path": lambda: Path("nowhere"),
    "date": lambda: datetime.date(2020, 1, 1),
}

HOLDERS: Values = {
    "[]": list,
    "()": tuple,
    "{}": dict,
    "set()": set,
    "{1, 2}": lambda: {1, 2},
    "frozenset": lambda: frozenset({0}),
    "[0]": lambda: [0],
    "[0, 0]": lambda: [0, 0],
    "[1.5]": lambda: [1.5],
    "[True]": lambda: [True],
    "[None]": lambda: [None],
    "['a']": lambda: ["a"],
    "[0, 'a']": lambda: [0, "a"],
    "[[0]]": lambda: [[0]],
    "[[0], [1, 2]]": lambda: [[0], [1, 2]],
    "[nan]": lambda: [math.nan],
    "[10**400]": lambda: [10**400],
    "[object]": lambda: [Nothing()],
    "{'a': 1}": lambda: {"a": 1},
    "{1: 'a'}": lambda: {1: "a"},
    "loop": loop,
    "deep": deep,
    "range(2)": lambda: range(2),
    "range(0)": lambda: range(0),
    "range(10**8)": lambda: range(10**8),
    "slice(0, 2)": lambda: slice(0, 2),
    "slice('a')": lambda: slice("a", None),
    "generator": lambda: (i for i in range(2)),
    "iterator": lambda: iter(["a"]),
    "map": lambda: map(str, [1]),
    "np [0, 1]": lambda: np.array([0, 1]),
    "np []": lambda: np.array([]),
    "np floats": lambda: np.array([0.5, 1.5]),
    "np strings": lambda: np.array(["a", "b"]),
    "np objects": lambda: np.array([None, "a"], dtype=object),
    "np bools": lambda: np.array([True, False]),
    "tensor([0, 1])": lambda: torch.tensor([0, 1]),
    "tensor([])": lambda: torch.tensor([]),
    "tensor int []": lambda: torch.zeros(0, dtype=torch.int64),
    "tensor([nan])": lambda: torch.tensor([math.nan]),
    "tensor 5 axes": lambda: torch.zeros(1, 2, 1, 2, 1),
    "tensor bool": lambda: torch.tensor([True, False]),
    "tensor half": lambda: torch.zeros(2, dtype=torch.float16),
    "tensor uint8": lambda: torch.zeros(2, dtype=torch.uint8),
    "tensor meta": lambda: torch.zeros(2, device="meta"),
    "tensor sparse": lambda: torch.eye(2).to_sparse(),
    "tensor grad": lambda: torch.zeros(2, requires_grad=True),
    "tensor complex": lambda: torch.zeros(2, dtype=torch.complex64),
}

OTHERS: Values = {
    "None": lambda: None,
    "...": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "object": Nothing,
    "class": lambda: Nothing,
    "module": lambda: math,
    "error": lambda: ValueError("x"),
    "dtype": lambda: torch.float32,
    "device": lambda: torch.device("cpu"),
    "lambda 0": lambda: lambda: 0,
    "lambda 1": lambda: lambda x: x,
    "lambda 3": lambda: lambda x, y, z: x,
    "fails": lambda: fails,
    "len": lambda: len,
    "print": lambda: print,
}


def plain(*values: Any) -> Values:
    """Values that no call changes, by what they look like."""
    return {repr(v): lambda v=v: v for v in values}
