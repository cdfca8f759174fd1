"""Every input of every task by two processes, each record kept as it comes, so that a run cut short goes on."""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.faithfulness import hate, measures, pictures, planted, sentences
from benchmarks.faithfulness.task import MissingDataError, Task
from calig_fast.bench import record

TASKS = {
    "sentences": sentences.sentences,
    "reviews": sentences.reviews,
    "news": sentences.news,
    "hate": hate.hate,
    "fashion": pictures.fashion,
    "vit": pictures.vit,
    "planted": planted.planted,
}
SIZES = {
    "sentences": {"tune": 30, "held": 100, "more": 20, "sanity": 10},
    "reviews": {"tune": 8, "held": 100, "more": 16, "sanity": 2},
    "news": {"tune": 12, "held": 100, "more": 24, "sanity": 2},
    "hate": {"tune": 30, "held": 100, "more": 20, "sanity": 10},
    "fashion": {"tune": 50, "held": 100, "sanity": 10},
    "vit": {"tune": 6, "held": 16, "sanity": 2},
    "planted": {"tune": 20, "held": 100, "more": 20, "sanity": 10},
}
# sanity: the first of the held-out inputs, through random weights; choice: all tuning inputs, with three fillers
SPLITS = ("tune", "choice", "held", "sanity")

LONGEST = ("reviews", "news", "vit", "hate")


@cache
def load(name: str, data: Path, cache_folder: Path) -> Task:
    """A task, once a process."""
    torch.set_num_threads(1)
    return TASKS[name](data, cache_folder, SIZES[name])


def run(names: list[str], splits: list[str], data: Path, folder: Path, jobs: int) -> dict[str, str]:
    """Measure what has not been measured yet.

    Args:
        names: tasks.
        splits: of `SPLITS`.
        data: folder of the data that is not shipped.
        folder: where trained weights and records are kept.
        jobs: processes.

    Returns:
        of each task that cannot run, why.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        missing, sizes = {}, {}
        preparing = {name: pool.submit(_prepare, name, data, folder) for name in names}
        for name, future in preparing.items():
            try:
                sizes[name] = future.result()
            except MissingDataError as error:
                missing[name] = str(error)
        waiting = {pool.submit(_case, *item, data, folder): item for item in _left(sizes, splits, folder)}
        for count, future in enumerate(as_completed(waiting), 1):
            name, split, k = waiting[future]
            record.append(_file(folder, name, split), [{"case": k, **row} for row in future.result()])
            print(f"{count} of {len(waiting)}", file=sys.stderr, flush=True)
    return missing


def _prepare(name: str, data: Path, folder: Path) -> dict[str, int]:
    """Train what a task needs, keep what is known of it; the inputs of each split."""
    task = load(name, data, folder)
    facts = {"title": task.title, "kind": task.kind, **task.facts}
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / f"{name}.facts.json", json.dumps(facts))
    most = SIZES[name]["sanity"]
    return {split: len(task.split(split)[: most if split == "sanity" else None]) for split in SPLITS}


def _left(sizes: dict[str, dict[str, int]], splits: list[str], folder: Path) -> list[tuple[str, str, int]]:
    """The inputs without a record, the longest first, so that no process is left alone with one at the end."""
    items = []
    for name, counts in sizes.items():
        for split in splits:
            done = {r["case"] for r in records(folder, name, split)}
            items += [(name, split, k) for k in range(counts[split]) if k not in done]

    def order(item: tuple[str, str, int]) -> tuple[int, bool]:
        return (LONGEST.index(item[0]) if item[0] in LONGEST else len(LONGEST), item[1] != "sanity")

    return sorted(items, key=order)


def _case(name: str, split: str, k: int, data: Path, folder: Path) -> list[dict[str, Any]]:
    task = load(name, data, folder)
    return measures.of_case(task, task.split(split)[k], split)


def _file(folder: Path, name: str, split: str) -> Path:
    return folder / f"{name}.{split}.jsonl"


def records(folder: Path, name: str, split: str) -> list[dict[str, Any]]:
    """The records of a task."""
    file = _file(folder, name, split)
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().split("\n")[:-1] if line]  # the last may be cut
