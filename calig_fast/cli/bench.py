"""`calig bench`: the time of an explanation of the user's model, beside Captum's."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .errors import finish, plain_errors
from .loading import Given, load
from .writing import STDOUT, folders_exist, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench import Bench

MOST_THREADS = 1024


def bench(
    model: options.Model,
    *,
    text: options.Text = None,
    pair: options.Pair = None,
    file: options.File = None,
    lines: options.Lines = None,
    image: options.Image = None,
    rounds: Annotated[int, typer.Option(help="How often each contender is timed.")] = 3,
    nodes: Annotated[int, typer.Option(help="Gauss nodes of Captum's loop.")] = 50,
    threads: Annotated[int | None, typer.Option(help="Threads of PyTorch; its own choice when left out.")] = None,
    device: options.Device = None,
    json: options.Json = None,
    debug: options.Debug = False,
) -> None:
    """Time explanations of your own model and inputs beside Captum's loop over the layers, with the errors reached.

    Answers at equal nodes are checked first; where one is wrong no time is reported and the exit code is 1. Captum's
    loop is slow: expect it to take most of the time.
    """
    with plain_errors(debug):
        from rich.console import Console

        from ..bench import bench as measure
        from ..bench import machine

        folders_exist(json)
        if threads is not None:
            use_threads(threads)
        loaded = load(Given(model, text=text, pair=pair, file=file, lines=lines, image=image, device=device))
        result = measure(loaded.model, loaded.inputs, loaded.processor, rounds=rounds, nodes=nodes, progress=True)
        about = {**machine.describe(), "device": str(next(loaded.model.parameters()).device)}
        if json:
            write_json(_document(result, about, len(loaded.inputs)), json)
        if json != STDOUT:
            console = Console()
            console.print(_table(result))
            for line in _notes(result, about, len(loaded.inputs)):
                console.print(line, highlight=False, markup=False)
        finish(loaded.left_out)


def use_threads(count: int) -> None:
    """Let PyTorch use so many threads.

    Raises:
        ValueError: fewer than one, or more than `MOST_THREADS`.
    """
    import torch

    from .._utils.arguments import integer

    torch.set_num_threads(integer("--threads", count, 1, MOST_THREADS))


def _table(result: Bench) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for name in ("", "wall s", "least..most", "CPU s", "faster", "error", "gradients"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    base = result.rows[-1].seconds
    for row in result.rows:
        spread = f"{min(row.wall):.2f}..{max(row.wall):.2f}"
        cells = (f"{row.seconds:.2f}", spread, f"{median(row.cpu):.2f}")
        faster = "-" if result.without_captum else f"{base / row.seconds:.1f}"
        table.add_row(row.name, *cells, faster, f"{row.error:.1e}", str(row.gradients))
    return table


def _notes(result: Bench, about: dict[str, Any], inputs: int) -> list[str]:
    rounds = len(result.rows[0].wall)
    where = f"{about['device']} ({about['gpu']})" if about["device"].startswith("cuda") else about["device"]
    lines = [
        f"{inputs} inputs, {rounds} rounds taking turns, medians; engine {result.engine}; "
        f"{about['processor']}, {about['threads']} threads, {where}, torch {about['torch']}, {about['date']}.",
        f"At 8 equal nodes the answers differ from autograd by at most {result.apart:.1e}. Errors are those of the "
        f"layer scores against 96 intervals, themselves off by an estimated {result.truth:.1e}.",
        'certify="scores" holds the fused scores to the tolerance, not every layer.',
    ]
    if result.without_captum:
        return [*lines, f"Without Captum: {result.without_captum}"]
    return [*lines, f"Captum at internal_batch_size {result.batch_size}, the fastest of four; no attention gradients."]


def _document(result: Bench, about: dict[str, Any], inputs: int) -> dict[str, Any]:
    from dataclasses import asdict

    rows = [asdict(row) | {"median": row.seconds} for row in result.rows]
    return {**asdict(result), "rows": rows, "inputs": inputs, "machine": about}
