"""The keyword arguments of one call of a model: tensors with a row for each input, and options that have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Call = Mapping[str, Any]


class ModelFailsError(ValueError):
    """A model fails on rows beside those of the caller."""


def has_rows(value: Any) -> bool:
    """Return True for a tensor with a row for each input; numbers, flags and scalars are options of the model."""
    return isinstance(value, Tensor) and value.dim() > 0


def called(model: Callable[..., Any], call: Call) -> Any:
    """The output of a model for a call; an unnamed input stands under ""."""
    unnamed = (call[""],) if "" in call else ()
    return model(*unnamed, **{name: value for name, value in call.items() if name})


def called_again(model: Callable[..., Any], call: Call) -> Any:
    """The output of a model that has answered the call itself, for other rows.

    Raises:
        ModelFailsError: it answers no such rows.
    """
    try:
        return called(model, call)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if _is_ours(error):
            raise
        raise ModelFailsError(
            f"model: it answers the call itself, but fails on {row_count(call)} rows of inputs, baselines and points "
            f"between them, with {type(error).__name__}: {error}; it has to take any number of rows"
        ) from error


def _is_ours(error: BaseException) -> bool:
    """Return True for an error that this package raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    package = __name__.partition(".")[0]
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package


def kind_of(call: Call) -> tuple[tuple[str, Any], ...]:
    """The traits that calls computed alike have in common: their arguments, with the axes of tensors."""
    traits = ((name, v.dim() if has_rows(v) else repr(v)) for name, v in call.items())
    return tuple(sorted(traits, key=lambda trait: trait[0]))


def row_count(call: Call) -> int:
    """B, the inputs of a call."""
    return int(next(v for v in call.values() if has_rows(v)).shape[0])


def copied(call: Call) -> dict[str, Any]:
    """The arguments in tensors of their own, which a model may change in place."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in call.items()}


def concatenated(call: Call, baseline: Call | None) -> dict[str, Any]:
    """The arguments of the inputs with those of their baselines after them, in tensors of their own."""
    if baseline is None:
        return copied(call)
    return {k: torch.cat([v, baseline[k]]) if has_rows(v) else v for k, v in call.items()}


def rows_of(call: Call, index: Tensor | slice) -> dict[str, Any]:
    """The arguments of some of the inputs.

    Args:
        call: the arguments.
        index: [n] int64, or a slice.
    """
    return {k: v[index] if has_rows(v) else v for k, v in call.items()}


def picked(call: Call, rows: Tensor) -> dict[str, Any]:
    """The arguments of some rows; pixels, which the head never reads, are not copied."""
    return {
        k: v if not has_rows(v) else v[:1].expand(len(rows), *v.shape[1:]) if v.dim() == 4 else v[rows]
        for k, v in call.items()
    }
