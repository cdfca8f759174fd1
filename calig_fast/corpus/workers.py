"""The embedded engine: worker processes on this machine, each with one part at work and one waiting."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import pickle
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

import torch

from . import memory
from .explaining import Task
from .parts import About, Content
from .shipping import Recipe, Shipment, received

AHEAD = 2  # parts that a worker holds: one at work, one waiting
DEATHS = 5  # of workers at one part, or at their start, that end the run
Made = tuple[Content, About]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads of PyTorch."""
    old = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(old)


def here(recipe: Recipe, tasks: Iterator[Task], count: int) -> Iterator[Made]:
    """Make parts in this process, one after another.

    Args:
        recipe: of the parts.
        tasks: parts to be made.
        count: threads.
    """
    maker = recipe.maker()
    for task in tasks:
        with threads(count):
            made = maker(task)
        yield made


@dataclass
class _Worker:
    """A process, the parts that it holds, and the connection to it."""

    process: Any
    pipe: Any
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False


class Workers:
    """Worker processes. Use as a context; leaving it ends them.

    Args:
        recipe: of the parts.
        count: processes.
        threads: of each.

    """

    def __init__(self, recipe: Recipe, count: int, threads: int) -> None:
        self._recipe, self._threads = recipe, threads
        self._shipment: Shipment | None = None  # made for the first worker
        self._context = mp.get_context("spawn")
        self._count = count
        self._workers: list[_Worker] = []
        self._deaths: dict[str, int] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []
        if self._shipment is not None:
            self._shipment.close()

    def run(self, tasks: Iterator[Task]) -> Iterator[Made]:
        """Make parts; each is given as soon as it is made.

        Args:
            tasks: parts to be made; read as the workers take them.

        Raises:
            ValueError: the model cannot be sent to other processes.
            ValueError, TypeError, MemoryError: as `Maker` raises them.
            RuntimeError: workers died again and again, at one part or at their start.
        """
        waiting: deque[Task] = deque()  # of workers that died
        more = True
        while True:
            while (more or waiting) and self._has_room():
                task = waiting.popleft() if waiting else next(tasks, None)
                if task is None:
                    more = False
                else:
                    self._give(task)
            busy = [worker for worker in self._workers if worker.tasks]
            if not busy:
                return
            for pipe in connection.wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is pipe)
                try:
                    message = pickle.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError):
                    waiting += self._bury(worker)
                    continue
                if message is None:
                    worker.ready = True
                elif isinstance(message, BaseException):
                    raise message
                else:
                    worker.tasks.popleft()
                    yield message

    def _has_room(self) -> bool:
        return len(self._workers) < self._count or any(len(worker.tasks) < AHEAD for worker in self._workers)

    def _give(self, task: Task) -> None:
        """Give a part to the worker that holds the fewest, a new one where all hold some and there may be more."""
        if len(self._workers) < self._count and all(worker.tasks for worker in self._workers):
            self._workers.append(self._begin())
        worker = min(self._workers, key=lambda worker: len(worker.tasks))
        worker.tasks.append(task)
        with contextlib.suppress(OSError):  # it died, which is seen where its answer is awaited
            worker.pipe.send_bytes(pickle.dumps(task, pickle.HIGHEST_PROTOCOL))

    def _begin(self) -> _Worker:
        if self._shipment is None:
            self._shipment = Shipment(self._recipe)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._shipment.address(), self._threads), name="calig-corpus", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _bury(self, worker: _Worker) -> list[Task]:
        """The parts of a worker that died, to be made by another.

        Raises:
            RuntimeError: it is not the first.
        """
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        task = worker.tasks[0]
        key = task.name if worker.ready else ""
        self._deaths[key] = self._deaths.get(key, 0) + 1
        if self._deaths[key] == DEATHS:
            code = worker.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            if not worker.ready:
                raise RuntimeError(
                    f"workers: {DEATHS} processes died at their start ({how}); a script that starts them needs "
                    'if __name__ == "__main__": before its own work, or pass workers=0'
                )
            first, last = task.items[0][0].id, task.items[-1][0].id
            raise RuntimeError(
                f"workers: {DEATHS} processes died ({how}) at the inputs from {first!r} to {last!r}; the memory may be "
                "full: pass fewer workers=, a smaller memory_budget= or part_size=; the same command goes on from here"
            )
        return list(worker.tasks)


def _work(pipe: Any, address: tuple[str, bytes], count: int) -> None:
    """The body of a worker: makes parts until the other side closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side ends this process
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    memory.bound_code()
    torch.set_num_threads(count)
    tasks: queue.Queue[Task | None] = queue.Queue()
    try:
        maker = received(address).maker()
        pipe.send_bytes(pickle.dumps(None))
        threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
        while (task := tasks.get()) is not None:
            pipe.send_bytes(pickle.dumps(maker(task), pickle.HIGHEST_PROTOCOL))
    except BrokenPipeError:  # the other side is gone
        return
    except BaseException as error:
        with contextlib.suppress(OSError):
            pipe.send_bytes(_portable(error))


def _portable(error: BaseException) -> bytes:
    """An error as bytes; one that cannot be pickled as a RuntimeError with its text."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:  # of the error's own class
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data


def _receive(pipe: Any, tasks: queue.Queue[Task | None]) -> None:
    """Take parts as they come, so that the other side never waits."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            tasks.put(pickle.loads(pipe.recv_bytes()))
    tasks.put(None)


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, however it ended."""
    parent = mp.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
