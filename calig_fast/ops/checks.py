"""The packed layout that the operations share, and the checks of it.

Tokens of all inputs lie one after another, [tokens, D]; input b has the rows offsets[b] .. offsets[b+1]. A segment is
one path point of one input: `inputs[s]` names the input, and its rows follow the rows of segment s-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class Place(NamedTuple):
    """The position of one segment: its input's packed tokens, and its own rows."""

    tokens: slice
    rows: slice


def segments(offsets: Tensor, inputs: Tensor) -> list[Place]:
    """The place of every segment."""
    bounds, places, row = offsets.tolist(), [], 0
    for b in inputs.tolist():
        first, last = bounds[b], bounds[b + 1]
        places.append(Place(slice(first, last), slice(row, row + last - first)))
        row += last - first
    return places


def readable(*tensors: Tensor) -> bool:
    """Return True if reading values costs nothing: on the CPU, and not while a graph is traced."""
    on_cpu = all(t.device.type == "cpu" and not isinstance(t, FakeTensor) for t in tensors)
    return on_cpu and not torch.compiler.is_compiling()


def _shown(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def check_tensor(name: str, tensor: object, shape: Sequence[int | str], dtypes: Sequence[torch.dtype]) -> Tensor:
    """A tensor of the shape (names stand for any size) and one of the dtypes.

    Raises:
        TypeError: not a tensor, or of another dtype.
        ValueError: of another shape.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor {_shown(shape)}, got {type(tensor).__name__}")
    if tensor.dtype not in dtypes:
        names = " or ".join(str(d).removeprefix("torch.") for d in dtypes)
        raise TypeError(f"{name}: expected {names}, got {tensor.dtype}; convert it with .to(...)")
    if tensor.shape != tuple(shape) and (
        tensor.ndim != len(shape)
        or not all(isinstance(want, str) or n == want for n, want in zip(tensor.shape, shape, strict=True))
    ):
        raise ValueError(f"{name}: expected shape {_shown(shape)}, got {_shown(tensor.shape)}")
    return tensor


def check_same_device(tensors: dict[str, Tensor]) -> None:
    """All tensors on one device.

    Raises:
        ValueError: one is elsewhere.
    """
    (first, one), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != one.device:
            raise ValueError(f"{name}: expected it on {one.device} as {first}, got {tensor.device}")


def check_offsets(offsets: object, tokens: int) -> Tensor:
    """int64 [B+1] that starts at 0, never decreases and ends at `tokens`.

    The values are looked at on the CPU alone: reading them from a GPU would make every call wait for it.

    Raises:
        TypeError, ValueError: they are not.
    """
    tensor = check_tensor("offsets", offsets, ["B+1"], [torch.int64])
    if tensor.numel() == 0:
        raise ValueError("offsets: expected at least one entry, 0, got none")
    if readable(tensor):
        values = tensor.tolist()
        if values[0] != 0 or values[-1] != tokens or sorted(values) != values:
            raise ValueError(f"offsets: expected 0, then never falling, then {tokens} (the tokens), got {values}")
    return tensor


def check_inputs(inputs: object, count: int) -> Tensor:
    """int64 [S], each in [0, count); values are looked at on the CPU alone.

    Raises:
        TypeError, ValueError: they are not.
    """
    tensor = check_tensor("inputs", inputs, ["S"], [torch.int64])
    if readable(tensor):
        wrong = [value for value in tensor.tolist() if not 0 <= value < count]
        if wrong:
            raise ValueError(f"inputs: expected numbers of inputs, 0 to {count - 1}, got {wrong[0]}")
    return tensor


def check_rows(name: str, rows: int, offsets: Tensor, inputs: Tensor) -> None:
    """Raise unless the rows fit the segments; checked on the CPU alone.

    Raises:
        ValueError: more or fewer.
    """
    if readable(offsets, inputs):
        wanted = sum(place.tokens.stop - place.tokens.start for place in segments(offsets, inputs))
        if rows != wanted:
            raise ValueError(f"{name}: expected {wanted} rows, the tokens of all segments, got {rows}")
