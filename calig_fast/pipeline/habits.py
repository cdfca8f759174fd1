"""Options of other packages, and ours in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._utils.warn import warn_once

_BYTES = "a batch of path points is bounded in bytes: memory_budget=2**29"
_ERROR = "every result has it: convergence_delta, and error, the estimated error of each layer"
HABITS = {
    "internal_batch_size": _BYTES,
    "batch_size": _BYTES,
    "return_convergence_delta": _ERROR,
    "additional_forward_args": "pass all arguments of the model as one mapping, explain(model, {name: tensor})",
    "attribute_to_layer_input": "relevance is that of the blocks' inputs",
    "layer": "blocks are chosen by index or name: layers=5",
    "class_name": 'a class is its number or name: target="positive"',
    "label": 'a class is its number or name: target="positive"',
    "nsamples": "the integral has a tolerance, no number of samples: tolerance=0.02",
    "max_evals": "the integral has a tolerance, no number of samples: tolerance=0.02",
    "device": "the explanation runs where the model is: model.to(device)",
}


def hint(name: str) -> str | None:
    """Our way to what an option of another package does, None for other names."""
    return HABITS.get(name)


def say_cap(options: Mapping[str, Any], quadrature: str, n_steps: int | None) -> None:
    """Warn once where `n_steps` was given alone: elsewhere it is a number of steps, here the largest one.

    Args:
        options: of the call.
        quadrature: that holds for it.
        n_steps: that holds for it.
    """
    if "n_steps" in options and "quadrature" not in options and quadrature == "auto" and (n_steps or 1) > 1:
        warn_once(
            "n_steps: it is the largest number of intervals of a path, which stops where the tolerance is met; for "
            'as many steps as that pass quadrature="gausslegendre" too, to keep the cap quadrature="auto"'
        )
