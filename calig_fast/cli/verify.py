"""`calig verify`: explain some inputs of a corpus again, and compare them with its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import FAILED, plain_errors, tell
from .loading import loaded_from


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that calig corpus wrote.")],
    *,
    sample: Annotated[int, typer.Option(help="Number of inputs, drawn at random.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model; the one of the corpus when left out.")
    ] = None,
    inputs: Annotated[Path | None, typer.Option(help="The inputs; those of the corpus when left out.")] = None,
    device: options.Device = None,
    debug: options.Debug = False,
) -> None:
    """Explain some inputs of a corpus again, and say if they agree with its tables within the stated errors."""
    with plain_errors(debug):
        from ..corpus.verify import origin
        from ..corpus.verify import verify as check

        place = model or origin(folder)["model"]
        if place is None:
            raise ValueError("--model: the corpus does not name the folder of its model; give it")
        classifier, processor = loaded_from(Path(place), device=device)
        checked = check(folder, classifier, processor, inputs, sample=sample, seed=seed)
        for one in checked:
            how = one.note or f"differs by {one.difference:.1e}, {one.allowed:.1e} allowed"
            typer.echo(f"{'agrees' if one.agrees else 'DIFFERS'}  {one.id}: {how}")
        wrong = sum(not one.agrees for one in checked)
        typer.echo(f"{len(checked) - wrong} of {len(checked)} inputs agree within their errors")
        if wrong:
            tell(f"{wrong} of {len(checked)} inputs do not agree with the tables")
            raise typer.Exit(FAILED)
