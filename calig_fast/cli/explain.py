"""`calig explain`: explain the decisions of a saved model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .document import document
from .errors import finish, plain_errors
from .loading import Given, load
from .writing import STDOUT, folders_exist, one_to_stdout, write_html, write_json, wrote


def explain(
    model: options.Model,
    *,
    text: options.Text = None,
    pair: options.Pair = None,
    file: options.File = None,
    lines: options.Lines = None,
    image: options.Image = None,
    target: options.Target = None,
    method: Annotated[
        str, typer.Option(help="calig, ig, layer_ig, conductance, rollout, chefer, attcat, ...")
    ] = "calig",
    baselines: options.Baselines = None,
    tolerance: options.Tolerance = 2e-2,
    certify: options.Guarantee = "layers",
    long_texts: Annotated[
        str, typer.Option(help="A text longer than the model reads: cut, or windows, which explains all of it.")
    ] = "cut",
    stride: Annotated[
        int | None, typer.Option(help="Tokens that a window shares with the one before it; a quarter when left out.")
    ] = None,
    device: options.Device = None,
    by: options.By = None,
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
        from .._utils.arguments import choice
        from ..results import units
        from ..views.terminal import render

        if save == STDOUT:
            raise ValueError("--save: expected the name of a file, got -; --json and --html write to standard output")
        if by is not None:
            units.check(bool(image), True, choice("--by", by, units.NAMES))
        silent = one_to_stdout(html, json)
        folders_exist(html, json, save)
        given = Given(model, text=text, pair=pair, file=file, lines=lines, image=image, target=target, device=device)
        found = load(given)
        explainer = Explainer(
            found.model,
            found.processor,
            method=method,
            baselines=baselines,
            tolerance=tolerance,
            certify=certify,
            long_texts=long_texts,
            stride=stride,
        )
        settings = explainer.settings  # the page shows maps on a click; a text in windows has none
        maps = html is not None and settings.resolved.fusion is not None and not settings.long.slides
        a = explainer(found.inputs, target=found.target, progress=True, return_maps=maps)
        grouped = None if by is None else a.by(by)
        if not silent:
            render(grouped or a)
        if json:
            write_json(document(a, grouped), json)
        if html:
            write_html((grouped or a).to_html(), html)
        if save:
            wrote(replace(a, maps=None).save(save))
        finish(found.left_out)
