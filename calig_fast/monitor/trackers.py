"""Experiment trackers as log targets: Weights & Biases, MLflow, and the loggers of Lightning."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .measures import numbers_of

Record = dict[str, Any]
PAGE = "calig/looks"  # name of the page among the files of a run
_NOT_IN_NAMES = re.compile(r"[^\w\-. /:]", re.ASCII)  # what MLflow refuses in the name of a metric


def numbers(record: Record) -> dict[str, float]:
    """The numbers of a record by their names, calig/<probe>/<number> and calig/<probe>/layers/<l>.

    Values that are no numbers are left out, and characters that trackers refuse in names become "_".
    """
    return numbers_of(record, _NOT_IN_NAMES.sub("_", record["probe"]))


def tracker(log: Any) -> Callable[[Record], object] | None:
    """A function that writes a record to a tracker, None where the object is none.

    Args:
        log: `wandb` or one of its runs; `mlflow`, or any object with `log_metrics(metrics, step=...)`, as Lightning's
            loggers have. A module stands for its active run.
    """
    if hasattr(log, "define_metric") and hasattr(log, "log"):
        return _Wandb(log).write
    if callable(getattr(log, "log_metrics", None)):
        return lambda record: None if "error" in record else log.log_metrics(numbers(record), step=record["step"])
    return None


def page_of(log: Any) -> Callable[[str], object] | None:
    """A function that adds the page of the looks to a run of W&B or MLflow, None elsewhere.

    Args:
        log: see `tracker`.
    """
    if hasattr(log, "define_metric") and hasattr(log, "log"):
        return _Wandb(log).add_page
    if callable(getattr(log, "log_text", None)):  # of mlflow
        return lambda html: log.log_text(html, f"{PAGE}.html")
    return None


class _Wandb:
    """A run of W&B, whose own step count stays the caller's: looks have theirs, calig/step.

    A look joins the row that the caller's next `run.log` ends. It ends a row itself only where the caller logged
    nothing since the look before, so that no number of the caller comes at a step that W&B has passed.

    Args:
        log: the module or a run.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._defined: Any = None
        self._row: tuple[int, int] | None = None  # W&B's step and ours

    def _run(self) -> Any:
        """The run.

        Raises:
            RuntimeError: the module has none yet.
        """
        run = self._log.run if isinstance(self._log, ModuleType) else self._log
        if run is None:
            raise RuntimeError("log: wandb has no active run; call wandb.init() before the first step")
        if run is not self._defined:
            run.define_metric("calig/step", hidden=True)
            run.define_metric("calig/*", step_metric="calig/step")
            self._defined = run
        return run

    def write(self, record: Record) -> None:
        """Write the numbers of a look; an error as text."""
        metrics = {"calig/error": f"{record['at']}: {record['error']}"} if "error" in record else numbers(record)
        run, step = self._run(), record["step"]
        if self._row is not None and self._row[0] == run.step and self._row[1] != step:
            run.log({}, commit=True)
        run.log({**metrics, "calig/step": step}, commit=False)
        self._row = run.step, step

    def add_page(self, html: str) -> None:
        """Add the page, which W&B shows in the run."""
        import wandb

        self._run().log({PAGE: wandb.Html(html, inject=False)})
