"""The memory of this process, and what the C library keeps of it after it was freed."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path


def give_back() -> None:
    """Return freed memory to the system, where the C library can; what takes it again counts as growing."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def process_bytes() -> int:
    """Bytes that this process holds now and the system cannot take back; 0 where the system does not say."""
    try:
        resident, shared = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split()[1:3])
    except OSError:  # no Linux
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")  # files that are mapped, as weights are, are shared
