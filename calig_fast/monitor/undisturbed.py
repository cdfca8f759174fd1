"""Restoring of random states."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Restore the random states of torch (CPU and `device`), NumPy and Python at the end.

    `explain` draws no random number; this is for what else runs in a look: the caller's log, output function or
    tokenizer.
    """
    module = None if device.type == "cpu" else torch.get_device_module(device)
    which = () if device.type == "mps" else (device,)  # of which there is one, and its functions take none
    cpu, other = torch.get_rng_state(), None if module is None else module.get_rng_state(*which)
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if module is not None:
            module.set_rng_state(other, *which)
        random.setstate(python)
        np.random.set_state(numpy)
