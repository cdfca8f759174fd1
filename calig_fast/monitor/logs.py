"""Log targets of looks: a JSONL file, TensorBoard, any callable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measures import SCALARS

Record = dict[str, Any]
Log = Callable[[Record], object]


def writers(log: Any) -> list[Log]:
    """One function of a record for each place to write to.

    Args:
        log: None, a path, an object with `add_scalar` (TensorBoard's SummaryWriter), a callable of a dict, or a list.

    Raises:
        TypeError: none of these.
    """
    if log is None:
        return []
    if isinstance(log, list | tuple):
        return [writer for one in log for writer in writers(one)]
    if isinstance(log, str | Path):
        return [_lines(Path(log))]
    if hasattr(log, "add_scalar"):
        return [_tensorboard(log)]
    if callable(log):
        return [log]
    raise TypeError(
        f"log: expected a path, a SummaryWriter, a callable of a dict, or a list of them; got {type(log).__name__}"
    )


def _lines(path: Path) -> Log:
    """Append each record as a line; the file is opened for each, so that a killed run loses none."""

    def write(record: Record) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


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
