"""Objects that look like what is asked for: tensors and arrays of rare kinds, containers, and classes that raise."""

import array
import collections
import enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers.fuzz_values import HOLDERS, NUMBERS, OTHERS, WRITTEN, OwnError, Values


class Raising:
    """An object of which one question, answered by a method of this name, raises."""

    def __init__(self, error: type[Exception] = RuntimeError) -> None:
        self.error = error

    def _raise(self, *_: Any) -> Any:
        raise self.error("of the caller's own class")

    __len__ = __iter__ = __getitem__ = __bool__ = __eq__ = __float__ = __index__ = __repr__ = __fspath__ = _raise  # type: ignore[assignment]
    __hash__ = object.__hash__


class Endless:
    """A sequence that says it is short and never ends."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> int:
        return 3


class Column:
    """A column of a table, as pandas has them."""

    def __init__(self, *values: Any) -> None:
        self.values = np.array(values, dtype=object)
        self.index = range(5, 5 + len(values))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return iter(self.values)

    def __getitem__(self, label: Any) -> Any:
        return self.values[self.index.index(label)]

    def tolist(self) -> list[Any]:
        return list(self.values)


class Table:
    """A table, as pandas has them."""

    columns = ("text",)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Any:
        return Column("a text")


class SubTensor(Tensor):
    """A subclass of tensors."""


class SubText(str):
    """A subclass of str."""


class Kind(enum.Enum):
    """A choice."""

    LOGIT = "logit"


class Whole(enum.IntEnum):
    """A choice of ints."""

    ONE = 1


def _inference() -> Tensor:
    with torch.inference_mode():
        return torch.zeros(2)


TENSORS: Values = {
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    "nested 0": lambda: torch.nested.nested_tensor([]),
    "csr": lambda: torch.eye(2).to_sparse_csr(),
    "sparse ids": lambda: torch.tensor([[1, 5, 2]]).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
    "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
    "uint64": lambda: torch.ones(2, dtype=torch.uint64),
    "uint16": lambda: torch.ones(2, dtype=torch.uint16),
    "complex 2": lambda: torch.ones(2, 2, dtype=torch.complex128),
    "conj": lambda: torch.ones(2, dtype=torch.complex64).conj(),
    "expanded": lambda: torch.ones(1).expand(2),
    "inference": _inference,
    "subclass": lambda: torch.ones(2).as_subclass(SubTensor),
    "Parameter": lambda: nn.Parameter(torch.ones(2)),
    "0 rows": lambda: torch.zeros(0, 4),
    "0 columns": lambda: torch.zeros(2, 0),
    "huge ids": lambda: torch.tensor([2**62, -(2**63)]),
    "2 x 2": lambda: torch.eye(2),
    "inf": lambda: torch.tensor([float("inf"), 1.0]),
    "storage": lambda: torch.ones(2).untyped_storage(),
    "Size": lambda: torch.Size([2]),
    "Generator": lambda: torch.Generator(),
}
ARRAYS: Values = {
    "masked": lambda: np.ma.masked_array([1, 2], mask=[True, False]),
    "records": lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "big endian": lambda: np.array([1, 2], dtype=">i4"),
    "longdouble": lambda: np.array([1, 2], dtype=np.longdouble),
    "uint64 array": lambda: np.array([2**64 - 1], dtype=np.uint64),
    "dates": lambda: np.array(["2020-01-01"], dtype="datetime64"),
    "bytes array": lambda: np.array([b"a"]),
    "void": lambda: np.zeros(1, dtype="V3"),
    "backwards": lambda: np.arange(4)[::-1],
    "read only": lambda: np.broadcast_to(np.array(1.0), (2,)),
    "matrix": lambda: np.matrix([[1, 2]]),
    "np complex": lambda: np.ones(2, dtype=complex),
    "np 0 rows": lambda: np.zeros((0, 3)),
    "array.array": lambda: array.array("d", [1.0]),
}
CONTAINERS: Values = {
    "deque": lambda: collections.deque([1, 2]),
    "UserDict": lambda: collections.UserDict(input_ids=[1, 2]),
    "UserList": lambda: collections.UserList([1, 2]),
    "defaultdict": lambda: collections.defaultdict(list),
    "Counter": lambda: collections.Counter("ab"),
    "dict keys": lambda: {"a": 1}.keys(),
    "dict values": lambda: {"a": torch.ones(1)}.values(),
    "zip": lambda: zip([1], [2], strict=True),
    "namedtuple": lambda: collections.namedtuple("Pair", "a b")(1, 2),
    "column": lambda: Column("a", "b"),
    "column of None": lambda: Column(None, 1.5),
    "table": Table,
    "endless": Endless,
    "raises": Raising,
    "raises KeyError": lambda: Raising(KeyError),
    "raises own": lambda: Raising(OwnError),
    "[raises]": lambda: [Raising()],
    "{raises}": lambda: {"input_ids": Raising()},
    "[tensor, None]": lambda: [torch.ones(2), None],
    "[tensors]": lambda: [torch.ones(2), torch.ones(3)],
    "[[]]": lambda: [[]],
    "{None: 1}": lambda: {None: 1},
    "{(): ()}": lambda: {(): ()},
}
TEXTS: Values = {
    "str subclass": lambda: SubText("calig"),
    "Enum": lambda: Kind.LOGIT,
    "IntEnum": lambda: Whole.ONE,
    "low surrogate": lambda: "a\udfff",
    "controls": lambda: "\x1b[31m\x07\x7f",
    "right to left": lambda: "\u202ea\u200d",
    "100000 letters": lambda: "a" * 100_000,
    "long path": lambda: "a/" * 3000 + "b",
    "long name": lambda: "n" * 300,
    "nul": lambda: "a\x00b",
    "~": lambda: "~",
    "/": lambda: "/",
    "/dev/null": lambda: "/dev/null",
    "surrogate path": lambda: Path("a\udcff"),
    "%s {0}": lambda: "%s {0} $x",
    "<script>": lambda: "<script>",
}
CALLABLES: Values = {
    "coroutine function": lambda: _coroutine,
    "StopIteration": lambda: _stop,
    "property": lambda: property(len),
    "staticmethod": lambda: staticmethod(len),
}


async def _coroutine(*_: Any) -> None:
    return None


def _stop(*_: Any, **__: Any) -> None:
    raise OwnError("of the caller's own function")


ANY: Values = {**NUMBERS, **WRITTEN, **HOLDERS, **OTHERS, **TENSORS, **ARRAYS, **CONTAINERS, **TEXTS, **CALLABLES}
