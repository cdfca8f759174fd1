"""Ray Data as the engine of a corpus: the parts of the embedded engine, made by a pool of actors of a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import torch

from ..results.tables import needed
from . import memory
from .explaining import Maker, Task
from .parts import About, Content
from .shipping import Recipe

WAVE = 64  # parts that Ray holds at once for each worker


class Actor:
    """Makes parts in a process of the cluster, with a model of its own.

    Args:
        recipe: of the parts, pickled.
        threads: of the process.
    """

    def __init__(self, recipe: bytes, threads: int) -> None:
        memory.bound_code()
        torch.set_num_threads(threads)
        self._maker: Maker = pickle.loads(recipe).maker()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the parts of a batch of pickled tasks."""
        return {"made": [pickle.dumps(self._maker(pickle.loads(task))) for task in batch["task"]]}


def run(
    recipe: Recipe, tasks: Iterator[Task], *, workers: int, threads: int, address: str
) -> Iterator[tuple[Content, About]]:
    """Make parts on a cluster; each is given as soon as it is made.

    Args:
        recipe: of the parts.
        tasks: parts to be made; read a wave at a time.
        workers: actors.
        threads: of each.
        address: of the cluster, or "local" for one of this machine.

    Raises:
        ImportError: ray is not installed; it comes with the extra `ray`.
    """
    ray, data = needed("ray", "ray", "address="), needed("ray.data", "ray", "address=")
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False)
    count = max(1, workers)
    sent = pickle.dumps(recipe)
    while wave := [task for _, task in zip(range(WAVE * count), tasks, strict=False)]:
        made = data.from_items([{"task": pickle.dumps(task)} for task in wave], override_num_blocks=len(wave))
        made = made.map_batches(
            Actor,
            fn_constructor_kwargs={"recipe": sent, "threads": threads},
            batch_size=1,
            concurrency=count,
            num_cpus=threads,
        )
        for row in made.iter_rows():
            yield pickle.loads(row["made"])
