"""`calig corpus`: explain every input of a corpus, exactly once, into tables of Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from . import options
from .errors import FAILED, plain_errors, tell
from .loading import class_of, loaded_from
from .writing import write_html

if TYPE_CHECKING:
    from ..corpus import Summary

EXPLAIN = "explain"  # name of the command that `calig corpus INPUT` calls


class Default(TyperGroup):
    """The commands of `calig corpus`; the first word that names none of them is the input of the first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command before its arguments."""
        if args and args[0] not in self.commands:
            args.insert(0, EXPLAIN)
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Default,
    help="Explain every input of a corpus, exactly once, into tables of Parquet; `report` shows them.",
    no_args_is_help=True,
)


@app.command(EXPLAIN, cls=options.Command)
def explain(
    inputs: options.Corpus,
    model: options.Model,
    out: Annotated[Path, typer.Option(help="Folder of the tables; the same command again goes on there.")],
    *,
    column: options.Column = "text",
    pair_column: options.PairColumn = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the id; the number of the row when left out.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core when left out, 0 for none.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 1,
    address: Annotated[str | None, typer.Option(help="Ray cluster, as ray://host:port, or local.")] = None,
    part_size: Annotated[int, typer.Option(help="Most inputs of a part; a kill loses one a worker at most.")] = 64,
    by: options.By = None,
    save_layers: Annotated[
        list[int] | None, typer.Option(help="Layer whose scores are kept; all when left out.")
    ] = None,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Keep the context maps, as safetensors.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Explain failed inputs again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print memory and time, and write nothing.")] = False,
    target: options.Target = None,
    method: options.Method = "calig",
    baselines: options.Baselines = None,
    output: Annotated[str, typer.Option(help="Explained scalar: logit, log_prob, prob.")] = "logit",
    layers: Annotated[list[int] | None, typer.Option(help="Block that is used; all when left out.")] = None,
    n_steps: Annotated[int | None, typer.Option(help="Steps, or the most intervals of a path.")] = None,
    quadrature: Annotated[str, typer.Option(help="auto, or the name of a fixed rule.")] = "auto",
    tolerance: options.Tolerance = 2e-2,
    certify: options.Guarantee = "layers",
    k: Annotated[int | None, typer.Option(help="Number of strongest tokens that top-k is about.")] = None,
    long_texts: options.LongTexts = "cut",
    stride: options.Stride = None,
    lam: Annotated[float | None, typer.Option(help="Weight of the relevance in the fusion, 0 to 1.")] = None,
    dtype: options.Dtype = None,
    memory_budget: options.MemoryBudget = None,
    engine: options.Engine = "auto",
    backend: Annotated[str, typer.Option(help="auto, torch, cpu, triton or cuda.")] = "auto",
    device: options.Device = None,
    debug: options.Debug = False,
) -> None:
    """Explain every input of a corpus, exactly once, into tables of Parquet.

    The same command again goes on where a kill or a full disk ended it. `calig corpus report DIR` shows the tables.
    """
    with plain_errors(debug):
        from ..corpus import explain_corpus, memory
        from ..corpus.options import dtype_of

        memory.bound_code()  # as workers do
        classifier, processor = loaded_from(model, device=device)
        given: dict[str, Any] = {
            "target": class_of(target, classifier),
            "method": method,
            "baselines": baselines,
            "output": output,
            "layers": layers or None,
            "n_steps": n_steps,
            "quadrature": quadrature,
            "tolerance": tolerance,
            "certify": certify,
            "k": k,
            "long_texts": long_texts,
            "stride": stride,
            "lam": lam,
            "dtype": dtype_of(dtype),
            "memory_budget": memory_budget,
            "engine": engine,
            "backend": backend,
        }
        summary = explain_corpus(
            classifier,
            inputs,
            out,
            processor,
            column=column,
            pair_column=pair_column,
            id_column=id_column,
            workers=workers,
            threads=threads,
            address=address,
            part_size=part_size,
            by=by,
            save_layers=save_layers or None,
            save_maps=save_maps,
            retry_failed=retry_failed,
            dry_run=dry_run,
            model_folder=model,
            progress=True,
            **given,
        )
        if not dry_run:
            tell_numbers(summary)


def tell_numbers(summary: Summary) -> None:
    """Print the numbers of a run, and leave with the code of a failure where some inputs failed.

    Raises:
        typer.Exit: some failed.
    """
    parts = f"{summary.explained:,} now, {summary.inputs - summary.explained:,} there before"
    if summary.failed:
        parts = f"{parts}; {summary.failed:,} failed"
    typer.echo(f"{summary.inputs:,} inputs ({parts}), {summary.rows:,} rows, {summary.seconds:.1f} s")
    typer.echo(f"wrote {summary.folder}", err=True)
    if summary.aside:
        typer.echo(f"{summary.aside:,} parts of other inputs or settings are in {summary.folder / 'aside'}", err=True)
    if summary.failed:
        tell(f"{summary.failed:,} inputs failed; `error` in {summary.folder / 'inputs'} says why")
        raise typer.Exit(FAILED)


@app.command("report", cls=options.Command)
def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that calig corpus wrote.")],
    *,
    other: Annotated[Path | None, typer.Option(help="A second such folder, compared with the first.")] = None,
    html: Annotated[Path | None, typer.Option(help="The page; report.html in the folder when left out.")] = None,
    debug: options.Debug = False,
) -> None:
    """Write a page of the words that move each class, of the inputs to look at, and of two runs compared."""
    with plain_errors(debug):
        from ..corpus.report import report as page

        write_html(page(folder, other), html or folder / "report.html")
