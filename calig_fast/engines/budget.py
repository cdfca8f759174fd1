"""The memory budget: its default, and what the ends of the paths leave of it for a wave of path points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from .base import Endpoints

# Of a GPU's memory. Computed, not measured on one: a 64th of 80 GB is 5,000 rows of a BERT base over half its blocks,
# which fills the tensor cores, and the eight waves that are recorded at most take an eighth.
SHARE = 64
LEAST = 4  # a wave has a quarter of the budget at least


class _Engine(Protocol):
    budget: int
    bounded: bool


def default_budget(device: torch.device, least: int) -> int:
    """The budget of a device: the least that keeps it busy, on a GPU the larger the more memory it has.

    Args:
        device: where the blocks' weights are.
        least: bytes on a CPU, and on a small GPU.

    Returns:
        bytes.
    """
    if device.type != "cuda":
        return least
    return max(least, torch.cuda.get_device_properties(device).total_memory // SHARE)


def room_for_waves(engine: _Engine, held: Iterable[Tensor], endpoints: Endpoints) -> int:
    """Bytes for a wave: of a budget of the caller's, the share that both ends and the attention maps leave.

    Args:
        engine: the engine.
        held: both ends of all paths.
        endpoints: of the same run, with its maps.
    """
    if not engine.bounded:
        return engine.budget
    maps = [m for one in endpoints.slopes for m in one.maps or ()]
    return max(engine.budget // LEAST, engine.budget - sum(t.nbytes for t in (*held, *maps)))


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for an error by which a device, or the system, refuses memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
