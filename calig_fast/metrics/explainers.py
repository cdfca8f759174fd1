"""The explainers that a metric calls: `explain`, or a function of the caller's like it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Explain = Callable[..., Any]


def call_explainer(explainer: Explain, model: Any, inputs: Any, target: Any, processor: Any) -> Any:
    """Call explainer(model, inputs, target=, processor=), or with tokenizer= if that is its argument's name."""
    try:
        names = set(inspect.signature(explainer).parameters)
    except ValueError:  # a builtin: it has no signature
        names = set()
    name = "tokenizer" if "tokenizer" in names and "processor" not in names else "processor"
    return explainer(model, inputs, target=target, **{name: processor})
