"""Log targets of looks: a JSONL file, TensorBoard, any callable."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._utils import files
from .._utils.arguments import kind, takes
from .._utils.warn import warn
from .measures import SCALARS

Record = dict[str, Any]
Log = Callable[[Record], object]

_BEGINS = b'{"step": '  # a record


def writers(log: Any) -> list[Log]:
    """One function of a record for each place to write to.

    Args:
        log: None, a path, an object with `add_scalar` (TensorBoard's SummaryWriter), a callable of a dict, or a list.

    Raises:
        TypeError: none of these.
        ValueError: a path that no file can have.
    """
    if log is None:
        return []
    if isinstance(log, list | tuple):
        return [_writer(one) for one in log if one is not None]
    return [_writer(log)]


def _writer(log: Any) -> Log:
    if isinstance(log, str | os.PathLike):
        return _lines(files.named(log, "log"))
    if hasattr(log, "add_scalar"):
        return _tensorboard(log)
    if callable(log) and takes(log, 1):
        found: Log = log
        return found
    raise TypeError(f"log: expected a path, a SummaryWriter, a callable of a dict, or a list of them; got {kind(log)}")


def _lines(path: Path) -> Log:
    """Append each record as a line; a killed run loses at most its last line, and the next run continues the file."""

    def write(record: Record) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        dropped = files.append(path, json.dumps(record, ensure_ascii=False), _torn)
        if dropped:
            warn(f"log: {path} ended in a line that a killed run had begun; its {dropped} bytes are dropped")

    return write


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


def _tensorboard(writer: Any) -> Log:
    """calig/<probe>/<number> of every number, calig/<probe>/layers/<l> of every block; an error as text."""

    def write(record: Record) -> None:
        step = record["step"]
        if "error" in record:
            writer.add_text("calig/errors", f"{record['at']}: {record['error']}", step)
            return
        tag = f"calig/{record['probe']}"
        for name in SCALARS:
            if record[name] is not None:
                writer.add_scalar(f"{tag}/{name}", record[name], step)
        for layer, share in enumerate(record["layers"]):
            if share is not None:
                writer.add_scalar(f"{tag}/layers/{layer}", share, step)

    return write
