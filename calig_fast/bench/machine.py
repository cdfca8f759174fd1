"""The machine and the versions a result was measured with."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "timm", "captum", "numpy")


def describe() -> dict[str, Any]:
    """Processor, cores, threads, versions (None if not installed) and today's date, as plain values."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """Its name, and the numbers that distinguish generations of one name."""
    lines = [line.partition(":") for line in _lines("/proc/cpuinfo")]
    entries = {key.strip(): value.strip() for key, _, value in lines}
    name = entries.get("model name", platform.processor())
    numbers = [f"{key.removeprefix('cpu ')} {entries[key]}" for key in ("cpu family", "model") if key in entries]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
