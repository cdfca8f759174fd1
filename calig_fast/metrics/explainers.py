"""The explainers that a metric calls: `explain`, or a function of the caller's like it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from .._utils.arguments import kind
from ..inputs import rankings

Explain = Callable[..., Any]


def check_explainer(explainer: Any) -> None:
    """Raise where it is no function of a model, inputs, target= and processor= (or tokenizer=).

    Raises:
        TypeError: naming `explainer`.
    """
    wanted = "explainer: expected a function called as explain is, explainer(model, inputs, target=, processor=)"
    if not callable(explainer):
        raise TypeError(f"{wanted}; got {kind(explainer)}")
    try:
        signature = inspect.signature(explainer)
    except (TypeError, ValueError):  # a builtin: it has no signature
        return
    try:
        signature.bind(None, None, target=None, **{_processor(signature): None})
    except TypeError as error:
        raise TypeError(f"{wanted}; got one that cannot be called so ({error})") from error


def scores_of(explanation: Any, inputs: int) -> Tensor:
    """The scores [B,T] that an explainer returned.

    Raises:
        TypeError: neither an Attribution nor numbers.
        ValueError: scores of another number of inputs, or NaN.
    """
    table = rankings.table(explanation, "explainer")
    if len(table) != inputs:
        raise ValueError(f"explainer: expected scores of {inputs} inputs, one row each, got {list(table.shape)}")
    return table


def _processor(signature: inspect.Signature) -> str:
    names = set(signature.parameters)
    return "tokenizer" if "tokenizer" in names and "processor" not in names else "processor"


def call_explainer(explainer: Explain, model: Any, inputs: Any, target: Any, processor: Any) -> Any:
    """Call explainer(model, inputs, target=, processor=), or with tokenizer= if that is its argument's name."""
    try:
        name = _processor(inspect.signature(explainer))
    except (TypeError, ValueError):  # a builtin: it has no signature
        name = "processor"
    return explainer(model, inputs, target=target, **{name: processor})
