"""The backend that was fastest on a card, from the measurements in choice.json, which ships with the package.

The file maps a card's name to the backend of each operation and dtype; `make gpu` writes it. No card has been measured
yet. Nothing is measured at run time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

Table = dict[str, dict[str, dict[str, str]]]


@cache
def table() -> Table:
    """Backend by card, operation and dtype."""
    fastest_backends: Table = json.loads(files(__package__).joinpath("choice.json").read_text())
    return fastest_backends


@cache
def card(index: int | None) -> str:
    """The name of a GPU; the current one's where no index is given."""
    return torch.cuda.get_device_name(index)


def measured(operation: str, tensors: Sequence[Tensor]) -> str | None:
    """The fastest backend on the card of the tensors and for their dtype, or None where that was not measured."""
    if not tensors or not tensors[0].is_cuda or not table():
        return None
    by_dtype = table().get(card(tensors[0].device.index), {}).get(operation, {})
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), None)
    return by_dtype.get(str(dtype).removeprefix("torch."))
