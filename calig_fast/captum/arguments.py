"""Checks of Captum's kinds of arguments: inputs, baselines, targets, and additional forward arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.arguments import as_tensor, kind, number, rare_kind, shown

Tensors = tuple[Tensor, ...]
Baseline = Tensor | int | float
Forward = Callable[..., Any]
_MISFITS = (
    RuntimeError,
    IndexError,
    TypeError,
    ValueError,
    OverflowError,
    NotImplementedError,
)  # shapes, dtypes and kinds that do not fit


def as_inputs(inputs: Any, name: str = "inputs") -> Tensors:
    """A tensor, or a tuple of them, as a tuple.

    Raises:
        TypeError: something else.
        ValueError: a tensor without rows.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    strange = next((type(x).__name__ for x in tensors if not isinstance(x, Tensor)), None if tensors else "nothing")
    if strange is not None:
        raise TypeError(f"{name}: expected a tensor or a tuple of tensors, got {strange}")
    rare = next((x for x in tensors if rare_kind(x)), None)
    if rare is not None:
        raise TypeError(f"{name}: expected dense tensors, got {kind(rare)}")
    if not all(x.dim() and len(x) for x in tensors):
        raise ValueError(f"{name}: expected at least one row in each tensor, got {[list(x.shape) for x in tensors]}")
    return tensors


def check_movable(inputs: Tensors) -> None:
    """Raise where there are no points between the inputs and their baselines.

    Raises:
        TypeError: bools, or unsigned ints of more than eight bits, which PyTorch does not compute with.
    """
    if any(x.dtype in (torch.uint16, torch.uint32, torch.uint64) for x in inputs):
        raise TypeError(f"inputs: expected floats, got {[str(x.dtype) for x in inputs]}; pass inputs.float()")
    if any(x.dtype == torch.bool for x in inputs):
        raise TypeError("inputs: expected numbers, got bools, between which no path lies; pass them as numbers")


def as_baselines(baselines: Any, inputs: Tensors) -> tuple[Baseline, ...]:
    """One baseline for each input; zeros where none is given.

    Raises:
        TypeError: something that is no tensor, number or tuple of them.
        ValueError: another number of baselines than of inputs, or a tensor that fits no input.
    """
    if baselines is None:
        return tuple(False if x.dtype == torch.bool else 0 for x in inputs)
    baseline_values = tuple(map(_plain, baselines if isinstance(baselines, tuple) else (baselines,)))
    for one in baseline_values:
        if not isinstance(one, Tensor | int | float) or (isinstance(one, Tensor) and rare_kind(one)):
            raise TypeError(f"baselines: expected None, a number, a tensor or a tuple of them, got {kind(one)}")
    if len(baseline_values) != len(inputs):
        raise ValueError(f"baselines: expected one for each of {len(inputs)} inputs, got {len(baseline_values)}")
    for one, x in zip(baseline_values, inputs, strict=True):
        if isinstance(one, Tensor) and one.shape != x.shape and one.shape[:1] != (1,):
            raise ValueError(
                f"baselines: expected a tensor {list(x.shape)}, one with a first axis of 1, or a number; got "
                f"{list(one.shape)}"
            )
    return baseline_values


def _plain(baseline: Any) -> Any:
    """A number of NumPy's as a plain one; a bool is 0 or 1 where numbers are subtracted."""
    if isinstance(baseline, np.integer | np.bool_ | bool):
        return int(baseline)
    if isinstance(baseline, int):
        number("baselines", baseline, "a number that a float holds")
    return float(baseline) if isinstance(baseline, np.floating) else baseline


def as_tensors(baselines: Sequence[Baseline], inputs: Tensors) -> Tensors:
    """The baselines as tensors with as many rows as the inputs."""
    tensors = []
    for one, x in zip(baselines, inputs, strict=True):
        if isinstance(one, Tensor):
            full = one
        else:  # a sum, as a number may be beyond what the dtype holds
            full = torch.zeros_like(x) + one if x.is_floating_point() else torch.full_like(x, one)
        tensors.append(torch.cat([full] * len(x)) if len(full) == 1 < len(x) else full)
    return tuple(tensors)


def as_arguments(additional: Any) -> tuple[Any, ...]:
    """Return the additional forward arguments as a tuple."""
    if additional is None:
        return ()
    arguments = additional if isinstance(additional, tuple) else (additional,)
    rowed = (torch.strided, torch.sparse_coo)  # the layouts that can be joined row by row
    if any(isinstance(one, Tensor) and (one.is_nested or one.layout not in rowed) for one in arguments):
        raise TypeError(
            "additional_forward_args: expected tensors with a row an input, got a nested or compressed sparse one; pad "
            "it, or make it dense"
        )
    return arguments


def repeated(values: Sequence[Any], times: int) -> tuple[Any, ...]:
    """Tensors with an axis of rows `times` over, one batch after another; other values unchanged."""
    return tuple(torch.cat([v] * times) if isinstance(v, Tensor) and v.dim() else v for v in values)


def repeated_target(target: Any, times: int) -> Any:
    """The targets of the batch `times` over; one for all rows stays unchanged."""
    _check_dense(target)
    if isinstance(target, list):
        return target * times
    if isinstance(target, Tensor) and target.numel() > 1:
        return torch.cat([target] * times)
    return target


def call(forward: Forward, arguments: Sequence[Any]) -> Tensor:
    """Return the output of the forward function; a function without parameters is called without arguments.

    Raises:
        TypeError: it takes other arguments, or returned something else than a tensor.
        ValueError: PyTorch or Python refused the arguments inside; an error of the function's own comes through.
    """
    try:
        signature = inspect.signature(forward.forward if isinstance(forward, nn.Module) else forward)
    except (TypeError, ValueError):  # some built-in functions have none that can be read
        signature = None
    given = arguments if signature is None or signature.parameters else ()
    if signature is not None:
        try:
            signature.bind(*given)
        except TypeError as error:
            raise TypeError(
                f"forward_func: it cannot be called with {len(given)} arguments, the inputs and "
                f"additional_forward_args ({error})"
            ) from error
    try:
        output = forward(*given)
    except Exception as error:
        if type(error) not in _MISFITS and not type(error).__module__.startswith("numpy"):
            raise
        came = ", ".join(str(list(a.shape)) if isinstance(a, Tensor) else shown(a) for a in given)
        raise ValueError(f"forward_func: it fails on the arguments {came}: {type(error).__name__}: {error}") from error
    if not isinstance(output, Tensor):
        raise TypeError(
            f"forward_func: expected it to return a tensor, got {type(output).__name__}; return the part that is "
            "explained, as in lambda *x: model(*x).logits"
        )
    return output


def selected(output: Tensor, target: Any) -> Tensor:
    """The explained number of each row.

    Args:
        output: of the forward function, [N,...].
        target: None (the output is one number a row already), an int or a tensor with one, a tuple of indices into the
            axes after the first, N ints as a list or tensor, or a list of N tuples.

    Returns:
        [N], or [N,...] with one element a row.

    Raises:
        TypeError: a target of another kind.
        ValueError: a target that does not fit the output, or more than one number a row.
    """
    target = int(target) if isinstance(target, np.integer) else target
    scalars = output if target is None else _picked(output, target)
    if scalars.dim() == 0 or (len(scalars) and scalars[0].numel() != 1):
        hint = "pass target=" if target is None else "pass a target for every axis of the output"
        raise ValueError(
            f"target: expected one number a row to explain, got an output {list(output.shape)} and target "
            f"{shown(target)}; {hint}"
        )
    return scalars


def check_target(target: Any, rows: int) -> None:
    """Raise where there is not one target for all rows or one for each.

    Raises:
        TypeError: a sparse, nested or quantised tensor.
        ValueError: naming both numbers.
    """
    _check_dense(target)
    many = isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)
    if many and len(target) != rows:
        raise ValueError(f"target: expected one for each of {rows} rows, got {len(target)}")


def _check_dense(target: Any) -> None:
    if isinstance(target, Tensor) and rare_kind(target):
        raise TypeError(f"target: expected ints in a dense tensor, got {kind(target)}")


def _picked(output: Tensor, target: Any) -> Tensor:
    if output.dim() == 0:
        raise ValueError(
            f"target: the output is one number for the whole batch, so target {shown(target)} selects nothing"
        )
    check_target(target, len(output))
    if isinstance(target, Tensor):
        wrong = target.is_floating_point() or target.is_complex() or target.device.type == "meta" or not target.numel()
        if wrong or target.numel() > 1 < target.dim():
            raise ValueError(f"target: expected a tensor of ints, [N] or one, got {target.dtype} {list(target.shape)}")
        if target.numel() > 1:
            return _each(output, target)
        target = int(target)
    if isinstance(target, int | tuple):
        index = target if isinstance(target, tuple) else (target,)
        if len(index) > output.dim() - 1:
            raise ValueError(f"target: {shown(target)} has more indices than an output {list(output.shape)} has axes")
        return _at(output, (slice(None), *index), target)
    if not isinstance(target, list) or not all(isinstance(one, int | tuple) for one in target):
        raise TypeError(
            "target: expected None, an int, a tuple, a tensor of ints, or a list of ints or tuples, got "
            f"{shown(target)}"
        )
    if any(isinstance(one, int) for one in target):
        if any(isinstance(one, tuple) for one in target):
            raise TypeError(f"target: expected ints or tuples, not both, got {shown(target)}")
        return _each(output, as_tensor("target", target, "ints"))
    return torch.stack([_at(row, one, target) for row, one in zip(output, target, strict=True)])


def _each(output: Tensor, target: Tensor) -> Tensor:
    """One class a row."""
    if output.dim() != 2:
        raise ValueError(f"target: ints for each row need an output [N,C], got {list(output.shape)}; pass tuples")
    return _at(output, (torch.arange(len(output)), target.long()), target.tolist())


def _at(output: Tensor, index: tuple[Any, ...], target: Any) -> Tensor:
    try:
        return output[index]
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"target: {shown(target)} is outside of the output {list(output.shape)}") from error
