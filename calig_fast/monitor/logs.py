"""Log targets of looks: a file of JSON lines or CSV, TensorBoard, a tracker, any callable."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._utils import files
from .._utils.arguments import kind, takes
from .._utils.warn import warn
from . import tensorboard
from .history import History
from .measures import SCALARS
from .trackers import page_of, tracker

Record = dict[str, Any]
Log = Callable[[Record], object]

COLUMNS = ("step", "probe", "label", "predicted", "converged", *SCALARS)  # of the CSV, before the layers
_BEGINS = b'{"step": '  # a record


def writers(log: Any) -> list[Log]:
    """One function of a record for each place to write to.

    Args:
        log: None, a path, an object with `add_scalar` (TensorBoard's SummaryWriter), a tracker (see `trackers`), a
            callable of a dict, or a list of these.

    Raises:
        TypeError: none of these.
        ValueError: a path that no file can have.
    """
    return [_writer(one) for one in _each(log)]


def _each(log: Any) -> list[Any]:
    return [one for one in (log if isinstance(log, list | tuple) else [log]) if one is not None]


def _writer(log: Any) -> Log:
    if isinstance(log, str | os.PathLike):
        path = files.named(log, "log")
        return _table(path) if path.suffix.lower() == ".csv" else _lines(path)
    if hasattr(log, "add_scalar"):
        return tensorboard.numbers(log)
    if (writer := tracker(log)) is not None:
        return writer
    if callable(log) and takes(log, 1):
        given: Log = log
        return given
    raise TypeError(
        "log: expected a path, a SummaryWriter, wandb, mlflow, an object with log_metrics, a callable of a dict, or a "
        f"list of them; got {kind(log)}"
    )


def pages(log: Any) -> list[Callable[[str], object]]:
    """One function of the page of the looks for each tracker that keeps files.

    Args:
        log: see `writers`.
    """
    candidates = [page_of(one) for one in _each(log)]
    return [page for page in candidates if page is not None]


def shows(log: Any) -> list[Callable[[History], object]]:
    """One function of the looks at a probe for each log that shows words or a picture, as they are looked at.

    Args:
        log: see `writers`.
    """
    return [tensorboard.shown(one) for one in _each(log) if hasattr(one, "add_text") and hasattr(one, "add_image")]


def _table(path: Path) -> Log:
    """Append the numbers of each record as a row of CSV; an error is no row. A new file begins with the heading."""

    def row(cells: list[Any]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cells)
        return text.getvalue()

    def write(record: Record) -> None:
        if "error" in record:
            return
        names = [*COLUMNS, *(f"layer_{layer}" for layer in range(len(record["layers"])))]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            files.append(path, row(names), _cut)
        cells = {**record, "probe": " ".join(record["probe"].split())}  # one line, also where a name has several
        files.append(path, row([*(cells[name] for name in COLUMNS), *record["layers"]]), _cut)

    return write


def _lines(path: Path) -> Log:
    """Append each record as a line; a killed run loses at most its last line, and the next run continues the file."""

    def write(record: Record) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        dropped = files.append(path, json.dumps(record, ensure_ascii=False), _torn)
        if dropped:
            warn(f"log: {path} ended in a line that a killed run had begun; its {dropped} bytes are dropped")

    return write


def _cut(line: bytes) -> bool:
    """True for the beginning of a row or of the heading; other text is kept."""
    return line[:1].isdigit() or b"step,".startswith(line[:5])


def _torn(line: bytes) -> bool:
    """True for the beginning of a record, and for the zeros of a power loss; other text is kept."""
    if not line.strip(b"\0"):
        return True
    if not (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False
