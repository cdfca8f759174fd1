"""Arguments checked: each error names the argument, the kind that was expected, the value that came and the mending."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

SHOWN = 80  # characters of a value in a message
MOST = 10_000_000  # values of a list that is made a tensor


def shown(value: Any) -> str:
    """A value in one short line, also where it is a tensor, a huge int, or has no text of its own."""
    if isinstance(value, Tensor):
        name = str(value.dtype).removeprefix("torch.")
        if value.is_nested:  # its shape cannot be asked for
            return f"a nested tensor {name}"
        return f"a {rare_kind(value)} tensor {name} {list(value.shape)}".replace("  ", " ")
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array {value.dtype} {list(value.shape)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an int of {value.bit_length()} bits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of the caller's class: the message about it matters more
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def kind(value: Any) -> str:
    """A value and its type, in one short line; the text alone of a text."""
    text = shown(value)
    return text if value is None or isinstance(value, str | Tensor | np.ndarray) else f"{text} ({type(value).__name__})"


def integer(name: str, value: Any, least: int, most: int | None = None, *, what: str = "an int", mend: str = "") -> int:
    """An int, also of NumPy and of a tensor without axes.

    Args:
        name: of the argument.
        value: the value that came.
        least: smallest that is taken.
        most: largest that is taken, None for no bound.
        what: noun of the message, such as "an int or None".
        mend: end of the message: the way to mend it.

    Raises:
        TypeError: no int.
        ValueError: an int outside the bounds.
    """
    end = f"; {mend}" if mend else ""
    item = scalar(value)
    if isinstance(item, bool | np.bool_) or not isinstance(item, numbers.Integral):
        raise TypeError(f"{name}: expected {what} of at least {least}, got {kind(value)}{end}")
    plain_int = int(item)
    if plain_int < least:
        raise ValueError(f"{name}: expected {what} of at least {least}, got {shown(plain_int)}{end}")
    if most is not None and plain_int > most:
        raise ValueError(f"{name}: expected {what} of at most {most}, got {shown(plain_int)}{end}")
    return plain_int


def number(name: str, value: Any, what: str, *, mend: str = "") -> float:
    """A real number that is not NaN, also of NumPy and of a tensor without axes.

    Args:
        name: of the argument.
        value: the value that came.
        what: noun of the message, with its bounds, such as "a number from 0 to 1".
        mend: end of the message: the way to mend it.

    Raises:
        TypeError: no number.
        ValueError: NaN, or an int that no float holds.
    """
    end = f"; {mend}" if mend else ""
    item = scalar(value)
    if isinstance(item, bool | np.bool_) or not isinstance(item, numbers.Real):
        raise TypeError(f"{name}: expected {what}, got {kind(value)}{end}")
    try:
        real = float(item)
    except OverflowError:
        real = math.nan
    if math.isnan(real):
        raise ValueError(f"{name}: expected {what}, got {shown(value)}{end}")
    return real


def between(
    name: str, value: Any, what: str, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> float:
    """A number between two bounds, which belong to it unless they are open.

    Raises:
        TypeError: no number.
        ValueError: a number outside the bounds.
    """
    real = number(name, value, what)
    if not low <= real <= high or (open_low and real == low) or (open_high and real == high):
        raise ValueError(f"{name}: expected {what}, got {shown(value)}")
    return real


def choice(name: str, value: Any, choices: Iterable[str], more: str = "") -> str:
    """One of several names.

    Args:
        name: of the argument.
        value: the value that came.
        choices: the names.
        more: end of the message, such as ", or a tensor of your own".

    Raises:
        ValueError: anything else.
    """
    listed = tuple(choices)
    if not isinstance(value, str) or value not in listed:
        quoted_names = ", ".join(f'"{c}"' for c in listed)
        raise ValueError(f"{name}: expected one of {quoted_names}{more}; got {kind(value)}")
    return str(value)


def flag(name: str, value: Any) -> bool:
    """True or False, also of NumPy and of a tensor without axes.

    Raises:
        TypeError: something else.
    """
    item = scalar(value)
    if not isinstance(item, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {kind(value)}")
    return bool(item)


def scalar(value: Any) -> Any:
    """The number in a NumPy array or tensor without axes; anything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    if isinstance(value, Tensor) and value.dim() == 0 and not is_meta(value):
        return value.detach().cpu().item()
    return value


def is_meta(value: Any) -> bool:
    """Return True for a tensor that holds no values."""
    return isinstance(value, Tensor) and value.device.type == "meta"


def rare_kind(value: Tensor) -> str:
    """The kind of a tensor that few operations take (nested, sparse, quantised, eight-bit float), "" for others."""
    if value.is_nested:
        return "nested"
    if value.is_quantized:
        return "quantised"
    if value.layout is not torch.strided:
        return "sparse"
    return "eight-bit" if value.is_floating_point() and value.element_size() < 2 else ""


def as_tensor(name: str, value: Any, what: str) -> Tensor:
    """A tensor of a tensor, an array, a number or nested lists of them, on its own device.

    Args:
        name: of the argument.
        value: the value that came.
        what: noun of the message, such as "an Attribution or a tensor [B,T]".

    Raises:
        TypeError: no numbers, ragged lists, or a tensor without values of its own.
    """
    if isinstance(value, str | bytes | bytearray | memoryview):
        raise TypeError(f"{name}: expected {what}, got {kind(value)}")
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(_listed(value))
        if tensor.is_floating_point() and not isinstance(value, Tensor | np.ndarray):
            tensor = torch.as_tensor(_listed(value), dtype=torch.float64)  # as precise as Python's floats are
    except Exception as error:  # of the caller's own class, too
        raise TypeError(f"{name}: expected {what}, got {kind(value)}") from error
    if tensor.is_complex() or rare_kind(tensor) or is_meta(tensor):
        raise TypeError(f"{name}: expected {what} of real numbers, dense and with values; got {kind(value)}")
    return tensor


def _listed(value: Any) -> Any:
    """Lists nested at most eight deep; a column, a range or another sequence as a list or an array."""

    def check(part: Any, depth: int) -> None:
        if depth > 8:
            raise RecursionError("lists in lists in lists")
        if isinstance(part, list | tuple):
            for one in part:
                check(one, depth + 1)

    check(value, 0)
    if hasattr(value, "__len__") and len(value) > MOST and not isinstance(value, np.ndarray):
        raise ValueError(f"more than {MOST} values")
    if isinstance(value, np.ndarray | list | tuple | Mapping):
        return value
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        return [value[i] for i in range(len(value))]
    return value


def positive(name: str, value: Any) -> float:
    """A positive, finite number.

    Raises:
        TypeError: no number.
        ValueError: a number that is not above 0, or infinity.
    """
    real = number(name, value, "a positive number")
    if not 0 < real < math.inf:
        raise ValueError(f"{name}: expected a positive number, got {shown(value)}")
    return real


def takes(function: Any, count: int) -> bool:
    """Return True if a function takes so many positional arguments, or where that cannot be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none that can be read
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def function(name: str, value: Any, count: int, what: str) -> None:
    """Raise where a value cannot be called with so many positional arguments.

    Args:
        name: of the argument.
        value: the value that came.
        count: of its arguments.
        what: noun of the message, such as "a function of the signals".

    Raises:
        TypeError: no function, or one of another number of arguments.
    """
    if not callable(value) or not takes(value, count):
        raise TypeError(f"{name}: expected {what}, got {kind(value)}")


def text(name: str, value: Any, what: str) -> str:
    """A text of at least one letter.

    Args:
        name: of the argument.
        value: the value that came.
        what: noun of the message, such as "the name of the method".

    Raises:
        TypeError: no text.
        ValueError: an empty one.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {what}, got {kind(value)}")
    if not value:
        raise ValueError(f"{name}: expected {what}, got an empty text")
    return value


def position(name: str, value: Any, n: int, things: str = "inputs") -> int:
    """An index into n things of an attribution, counted from the end where it is negative, as a position from 0 on.

    Raises:
        TypeError: no int.
        IndexError: an int that none of them has.
    """
    item = scalar(value)
    if isinstance(item, bool | np.bool_) or not isinstance(item, numbers.Integral):
        raise TypeError(f"{name}: expected an int, one of {n} {things}; got {kind(value)}")
    index = int(item)
    if not -n <= index < n:
        raise IndexError(
            f"{name}: expected an int from 0 to {n - 1}, got {shown(index)}: this attribution holds {n} {things}"
        )
    return index % n


def as_device(name: str, value: Any) -> torch.device:
    """A device that can be used here, of its name or itself.

    Raises:
        TypeError: something else.
        ValueError: no device of that name, or none that can be used here.
    """
    if not isinstance(value, str | torch.device):
        raise TypeError(f'{name}: expected a device or its name, such as "cpu" or "cuda:0", got {kind(value)}')
    try:
        device = torch.device(value)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{name}: {shown(value)} is not usable here ({why}); try "cpu"') from error
    return device


def whole_seed(name: str, value: Any) -> int:
    """A seed of random numbers, 0 to 2^63 - 1.

    Raises:
        TypeError: no int.
        ValueError: an int outside these bounds.
    """
    return integer(name, value, 0, 2**63 - 1)
