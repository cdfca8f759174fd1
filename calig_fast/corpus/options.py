"""Options of `explain` by their names, and as the record of a work keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .. import ExplainOptions
from .._utils.arguments import choice

DTYPES = ("float32", "float64", "bfloat16", "float16")


def dtype_of(name: str | None) -> torch.dtype | None:
    """The dtype of a name, such as "bfloat16".

    Raises:
        ValueError: no such dtype.
    """
    if name is None:
        return None
    dtype: torch.dtype = getattr(torch, choice("dtype", name.removeprefix("torch."), DTYPES))
    return dtype


def _holds_objects(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(map(_holds_objects, value)))


def recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `explain` that a work was done with.

    Args:
        record: of the work.

    Raises:
        ValueError: an option is no plain value, such as a function; it names the option.
    """
    settings = {name: value for name, value in record["settings"].items() if name in ExplainOptions.__optional_keys__}
    for name, value in settings.items():
        if _holds_objects(value):
            raise ValueError(f"{name}: it was an object that the tables do not keep; pass {name}= as it was")
    settings["dtype"] = dtype_of(settings["dtype"])
    return settings
