"""The default memory budget of a batch of path points."""

from __future__ import annotations

import torch

# Of a GPU's memory. Computed, not measured on one: a 64th of 80 GB is 5,000 rows of a BERT base over half its blocks,
# which fills the tensor cores, and the eight waves that are recorded at most take an eighth.
SHARE = 64


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


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for an error by which a device, or the system, refuses memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
