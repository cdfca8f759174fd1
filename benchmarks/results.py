"""The storage of results: one JSON file for a machine and number of threads, to which every benchmark adds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.contenders import NAMES
from calig_fast.bench import machine, record

FOLDER = Path(__file__).parent / "results"


def default_path() -> Path:
    """The file of this machine and number of threads."""
    about = machine.describe()
    words = re.sub(r"[^a-z0-9]+", "-", f"{about['processor']} {about['instruction_set']}".lower()).strip("-")
    return FOLDER / f"{words}-{about['threads']}-thread{'s' if about['threads'] > 1 else ''}.json"


def read(out: Path | None) -> dict[str, Any]:
    """Return the content of the file, empty if there is no file.

    Args:
        out: the file; None for this machine's.
    """
    path = out or default_path()
    return record.read(path)


def add(out: Path | None, part: str, figures: dict[str, Any]) -> None:
    """Write what was measured beside what the file holds already, and the page.

    Args:
        out: the file; None for this machine's, after which the page is written too.
        part: "works", "memory" or "not_done".
        figures: results by name of the work.
    """
    path = out or default_path()
    known = read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = {**known, "names": NAMES, part: {**known.get(part, {}), **figures}}
    record.write(path, merged)
    if out is None:
        page.write(FOLDER)
