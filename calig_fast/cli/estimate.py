"""`calig estimate`: memory and time of the explanations of a corpus, before they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import plain_errors
from .loading import class_of, loaded_from


def estimate(
    inputs: options.Corpus,
    model: options.Model,
    *,
    column: options.Column = "text",
    pair_column: options.PairColumn = None,
    workers: Annotated[int, typer.Option(help="Processes that share the work.")] = 1,
    target: options.Target = None,
    method: options.Method = "calig",
    baselines: options.Baselines = None,
    tolerance: options.Tolerance = 2e-2,
    certify: options.Guarantee = "layers",
    dtype: options.Dtype = None,
    memory_budget: options.MemoryBudget = None,
    engine: options.Engine = "auto",
    device: options.Device = None,
    debug: options.Debug = False,
) -> None:
    """Say how much memory and time a corpus takes, from a probe of a few of its inputs."""
    with plain_errors(debug):
        from ..corpus import Columns, memory
        from ..corpus.estimate import estimate as of
        from ..corpus.options import dtype_of

        memory.bound_code()  # as workers do
        classifier, processor = loaded_from(Path(model), device=device)
        forecast = of(
            classifier,
            inputs,
            processor,
            columns=Columns(column, pair_column),
            workers=workers,
            target=class_of(target, classifier),
            method=method,
            baselines=baselines,
            tolerance=tolerance,
            certify=certify,
            dtype=dtype_of(dtype),
            memory_budget=memory_budget,
            engine=engine,
        )
        typer.echo(str(forecast))
