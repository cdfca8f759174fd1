"""`explain_corpus`: the explanations of a corpus as tables, each input exactly once."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from .. import Encoder, Explainer, ExplainOptions
from .._utils import files
from .._utils.arguments import choice, flag, integer
from ..results.units import NAMES, listed
from . import manifest
from .columns import Columns
from .estimate import PART, of_source
from .explaining import Tables, Task
from .parts import Folder
from .plan import Plan
from .progress import Count, log, shown
from .shipping import Recipe
from .sources import opened
from .tables import arrow
from .work import work_of
from .workers import Made, Workers, here

LOCK, ORIGIN = ".lock", "run.json"


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Args:
        folder: of the tables.
        inputs: in the tables.
        explained: of them by this run.
        copied: of them from rows that earlier runs made.
        failed: of them without an explanation; their rows among the inputs have the reason.
        rows: tokens or patches.
        aside: parts of other inputs, settings or models, that were set aside.
        seconds: of this run.
    """

    folder: Path
    inputs: int
    explained: int
    copied: int
    failed: int
    rows: int
    aside: int
    seconds: float


def explain_corpus(
    model: Any,
    inputs: Any,
    out: str | os.PathLike[str],
    processor: Any = None,
    *,
    column: str = "text",
    pair_column: str | None = None,
    id_column: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    address: str | None = None,
    part_size: int = PART,
    by: str | None = None,
    save_layers: Sequence[int] | None = None,
    save_maps: bool = False,
    retry_failed: bool = False,
    dry_run: bool = False,
    encoder: Encoder | None = None,
    model_folder: str | os.PathLike[str] | None = None,
    **options: Unpack[ExplainOptions],
) -> Summary:
    """Explain every input of a corpus exactly once, and write tables of Parquet.

    The work is done in parts. A part is named by the digest of the weights, the processor, the options, the release,
    and the ids and contents of its inputs. It is written as a whole or not at all. The same call again goes on where a
    kill or a full disk ended it, and a grown corpus costs its new inputs. Parts of other work are set aside.

    Args:
        model: see `explain`.
        inputs: name of a .txt, .csv, .jsonl, .parquet or .tar file, of a folder of images, or of a saved Hugging Face
            data set; or a data set, a DataFrame, or an iterable of inputs of `explain` or of mappings.
        out: folder of the tables: `tokens/`, `inputs/`, and `maps/`, beside `manifest.json`. docs/corpus.md has the
            columns.
        processor: tokenizer or image processor.
        column: column of the text or the picture.
        pair_column: column of the second text of a pair, or None.
        id_column: column of the id, which no two inputs share; None for the number of the row, or the name of a file.
        workers: processes; None for one a core (one in all where the model is on a GPU), 0 for this process.
        threads: threads of each process.
        address: of a Ray cluster, ray://host:port, or "local"; None for processes on this machine.
        part_size: most inputs of a part: a kill loses one part a worker at most.
        by: unit of a row: "token", "word", "sentence" or "patch"; None for tokens and patches.
        save_layers: rows of `layer_scores` to keep as columns, None for all.
        save_maps: keep the context maps, [targets,L,T,T] float32 an input, as safetensors.
        retry_failed: explain inputs again that failed in an earlier run.
        dry_run: print an `Estimate` of memory and time, and write nothing.
        encoder: see `explain`.
        model_folder: the folder that the model was loaded from, which `verify` loads it from; kept in `run.json`.
        **options: the options of `explain`; `target` and `baselines` are the same for every input. `progress=True`
            shows a bar, or lines where standard error is no terminal; a function is called with (done, total), and
            with the total 0 where it is not known.

    Returns:
        the numbers of the run.

    Raises:
        ValueError, TypeError: a wrong argument, or an option that no input can be explained with.
        ImportError: pyarrow, or what the inputs need, is not installed.
        OSError: the folder cannot be written, or the disk is full; the parts until then are there.
        RuntimeError: another run works in the folder, or workers die again and again.
    """
    arrow()
    columns = Columns(column, pair_column, id_column)
    size = integer("part_size", part_size, 1, 100_000)
    tables = _tables(by, save_layers, save_maps)
    given: dict[str, Any] = {name: value for name, value in options.items() if name != "progress"}
    if tables.maps:
        given["return_maps"] = options["return_maps"] = True
    explainer = Explainer(model, processor, encoder=encoder, **options)
    source = opened(inputs, columns)
    processes, per_process = _workers(workers, explainer), integer("threads", threads, 1, 1024)
    if flag("dry_run", dry_run):
        forecast = of_source(
            explainer, source, workers=max(1, processes), threads=per_process, part_size=size, tables=tables
        )
        print(forecast)
        return Summary(Path(out), forecast.inputs, 0, 0, 0, 0, 0, forecast.seconds)
    work = work_of(explainer, {**vars(tables), "numbered": source.numbered}, encoder)
    recipe = Recipe(model, processor, encoder, given, work, tables, source.numbered)
    engine = _engine(recipe, processes, per_process, address)
    folder = Folder(files.make_folder(out, "out"))
    with files.held(folder.path / LOCK) as locked:
        if not locked:
            raise RuntimeError(f"out: another run works in {folder.path}; wait for its end, or give another folder")
        folder.open()
        plan = Plan(folder, work.digest, source, size, flag("retry_failed", retry_failed))
        counted = Count(source.count())
        try:
            with engine as make, shown(options.get("progress"), counted.total) as show:
                _write_origin(folder.path, inputs, columns, model_folder)
                _fill(folder, plan, make(plan.tasks()), Counting(counted, show))
        except BaseException:
            with contextlib.suppress(OSError):  # the error that ends the run is told
                manifest.write(folder)
            raise
        manifest.write(folder)
    log.info("done: %s", counted.line())
    return Summary(
        folder=folder.path,
        inputs=counted.done,
        explained=counted.done - plan.done - plan.copied,
        copied=plan.copied,
        failed=counted.failed,
        rows=sum(about.rows for about in folder.there.values()),
        aside=len(folder.aside),
        seconds=counted.seconds,
    )


@dataclass
class Counting:
    """A count and the function that shows it."""

    count: Count
    show: Callable[[Count], None]


def _fill(folder: Folder, plan: Plan, made: Iterator[Made], counting: Counting) -> None:
    """Write parts as they are made, and set the others aside."""
    count = counting.count
    plan.begin()
    new = failed = 0
    for content, about in made:
        folder.write(content, about)
        new, failed = new + about.inputs, failed + about.failed
        count.done, count.new, count.failed = plan.done + new, new, plan.done_failed + failed
        counting.show(count)
    plan.end()
    count.done, count.failed = plan.done + new, plan.done_failed + failed


def _tables(by: Any, layers: Any, maps: Any) -> Tables:
    unit = None if by is None else choice("by", by, NAMES)
    chosen = None if layers is None else tuple(listed("save_layers", layers, "None or a list of rows of layer_scores"))
    for layer in chosen or ():
        integer("save_layers", layer, -(10**5), 10**5)
    return Tables(unit, chosen, flag("save_maps", maps))


def _workers(given: Any, explainer: Explainer) -> int:
    """The number of processes; 0 for this one."""
    if given is not None:
        return integer("workers", given, 0, 1024, what="None or an int")
    if next(explainer.model.parameters()).device.type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Make = Callable[[Iterator[Task]], Iterator[Made]]


@contextlib.contextmanager
def _engine(recipe: Recipe, workers: int, threads: int, address: str | None) -> Iterator[Make]:
    """A function that makes parts, by the engine that was asked for."""
    if address is not None:
        from . import ray_data

        yield lambda tasks: ray_data.run(recipe, tasks, workers=workers, threads=threads, address=address)
    elif workers == 0:
        yield lambda tasks: here(recipe, tasks, threads)
    else:
        with Workers(recipe, workers, threads) as pool:
            yield pool.run


def _write_origin(folder: Path, inputs: Any, columns: Columns, model: Any) -> None:
    """Write the places of the inputs and of the model beside the tables, for `verify`."""
    places = {"inputs": inputs, "model": model}
    paths = {name: os.path.abspath(p) if isinstance(p, str | os.PathLike) else None for name, p in places.items()}
    origin = {**paths, "columns": vars(columns)}
    files.write(folder / ORIGIN, json.dumps(origin, indent=1) + "\n")
