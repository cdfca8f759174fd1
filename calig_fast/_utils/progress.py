"""Progress of a long explanation: a bar, a function of the caller's, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = bool | Callable[[int, int], None] | None


@contextlib.contextmanager
def ticker(progress: Progress, total: int) -> Iterator[Callable[[], None]]:
    """A function to call as each of `total` pieces of work is done.

    Args:
        progress: True for a bar on standard error, where that is a terminal; a function of (done, total); or None or
            False for none.
        total: pieces of work.
    """
    if callable(progress):
        done, report = 0, progress

        def tick() -> None:
            nonlocal done
            done += 1
            report(done, total)

        yield tick
    elif progress:
        from rich.console import Console
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        shown = console.is_terminal or console.is_jupyter
        with Bar(transient=True, console=console, disable=not shown) as bar:
            task = bar.add_task("explaining", total=total)
            yield lambda: bar.advance(task)
    else:
        yield lambda: None
