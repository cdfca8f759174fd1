"""Progress of a corpus: inputs, rate, time left and failures, as a bar on a terminal and as log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .._utils.progress import Progress

EVERY = 10.0  # seconds between two log lines
log = logging.getLogger("calig_fast.corpus")


@dataclass
class Count:
    """The state of a run.

    Args:
        total: inputs of the corpus, None where it is not known.
        done: inputs in the tables.
        new: those of them that this run explained.
        failed: those without an explanation.
        begun: seconds, when the run began.
    """

    total: int | None
    done: int = 0
    new: int = 0
    failed: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Of the run, until now."""
        return time.monotonic() - self.begun

    def line(self) -> str:
        """The state in a line."""
        seconds = self.seconds
        of = "" if self.total is None else f" of {self.total:,}"
        rate = self.new / seconds if seconds else 0.0
        text = f"{self.done:,}{of} inputs, {_rate(rate)}"
        if self.total is not None and rate:
            text += f", {_duration(max(0, self.total - self.done) / rate)} left"
        return f"{text}, {self.failed:,} failed"


def _rate(rate: float) -> str:
    return f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def shown(progress: Progress, total: int | None) -> Iterator[Callable[[Count], None]]:
    """A function that shows the state of a run.

    Args:
        progress: True for a bar on standard error, or lines where that is no terminal; a function of (done, total);
            None or False for log lines alone.
        total: inputs, or None.
    """
    if callable(progress):
        yield lambda count: progress(count.done, count.total or 0)
        return
    from rich.console import Console

    console = Console(stderr=True)
    if progress and (console.is_terminal or console.is_jupyter):
        from rich.progress import Progress as Bar

        with Bar(*Bar.get_default_columns()[:3], "{task.fields[line]}", transient=True, console=console) as bar:
            task = bar.add_task("explaining", total=total, line="")
            yield lambda count: bar.update(task, completed=count.done, line=count.line())
        return
    last = time.monotonic()

    def tell(count: Count) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            log.info(count.line())
            if progress:
                console.print(count.line(), highlight=False, markup=False)

    yield tell
