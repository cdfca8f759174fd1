"""`calig explain`: explain the decisions of a saved model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .document import document
from .errors import finish, plain_errors
from .loading import Given, load
from .writing import STDOUT, folders_exist, is_table, one_to_stdout, write_html, write_json, write_scores, wrote

if TYPE_CHECKING:
    from .. import Attribution, Explainer
    from .loading import Loaded


def explain(
    model: options.Model,
    *,
    text: options.Text = None,
    pair: options.Pair = None,
    file: options.File = None,
    column: Annotated[
        str | None, typer.Option(help="Column of the texts, where --file is a .csv, .jsonl or .parquet.")
    ] = None,
    pair_column: options.PairColumn = None,
    lines: options.Lines = None,
    image: options.Image = None,
    target: options.Target = None,
    method: options.Method = "calig",
    baselines: options.Baselines = None,
    tolerance: options.Tolerance = 2e-2,
    certify: options.Guarantee = "layers",
    long_texts: options.LongTexts = "cut",
    stride: options.Stride = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Inputs that are explained at once; all when left out.")
    ] = None,
    device: options.Device = None,
    by: options.By = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a table of the scores here: .csv, .jsonl or .parquet.")
    ] = None,
    html: options.Html = None,
    json: options.Json = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the attribution here, for Attribution.load (.safetensors).")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Explain decisions of a saved model: words or patches by signed relevance, layer by layer."""
    with plain_errors(debug):
        from .. import Explainer
        from .._utils.arguments import choice, integer
        from ..results import units
        from ..views.terminal import render

        if save == STDOUT:
            raise ValueError("--save: expected the name of a file, got -; --json and --html write to standard output")
        if by is not None:
            units.check(bool(image), True, choice("--by", by, units.NAMES))
        silent = one_to_stdout(html, json)
        is_table(out)
        folders_exist(html, json, save, out)
        size = None if batch_size is None else integer("--batch-size", batch_size, 1)
        given = Given(
            model,
            text=text,
            pair=pair,
            file=file,
            lines=lines,
            column=column,
            pair_column=pair_column,
            image=image,
            target=target,
            device=device,
        )
        loaded = load(given)
        explainer = Explainer(
            loaded.model,
            loaded.processor,
            method=method,
            baselines=baselines,
            tolerance=tolerance,
            certify=certify,
            long_texts=long_texts,
            stride=stride,
        )
        settings = explainer.settings  # the page shows maps on a click; a text in windows has none
        maps = html is not None and settings.resolved.fusion is not None and not settings.long.slides
        a = in_batches(explainer, loaded, size, maps)
        grouped = None if by is None else a.by(by)
        if not silent:
            render(grouped or a)
        if json:
            write_json(document(a, grouped), json)
        if html:
            write_html((grouped or a).to_html(), html)
        if out:
            write_scores(grouped or a.by(units.usual(a)), out)
        if save:
            wrote(replace(a, maps=None).save(save))
        finish(loaded.left_out)


def in_batches(explainer: Explainer, loaded: Loaded, size: int | None, maps: bool) -> Attribution:
    """The explanation of all inputs, so many at once.

    Args:
        explainer: of the model.
        loaded: the inputs and the class.
        size: inputs of a batch, None for all.
        maps: keep the context maps.
    """
    from ..results.joining import concatenate

    size, parts = size or len(loaded.inputs), []
    for begin in range(0, len(loaded.inputs), size):
        inputs = loaded.inputs[begin : begin + size]
        part = explainer(inputs, target=loaded.target, progress=True, return_maps=maps)
        parts.append(part if part.source is None else replace(part, source=part.source + begin))
    return concatenate(parts)
