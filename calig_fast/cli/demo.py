"""`calig demo`: real models on real inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import plain_errors
from .writing import write_picture

DEMOS = {"topics": 1, "sentiment": 2, "fashion": 4}


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pages and pictures.")] = Path("demo"),
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(DEMOS)}; all when left out.")] = None,
    debug: options.Debug = False,
) -> None:
    """Explain real inputs: a news article, movie sentences, and pictures of clothes."""
    with plain_errors(debug):
        from rich.console import Console

        from .. import Explainer
        from ..demo import load
        from ..views.terminal import render

        console = Console()
        out.mkdir(parents=True, exist_ok=True)
        for name in only or DEMOS:
            console.rule(f"[bold]{name}")
            with Console(stderr=True).status("reading the model"):
                shown = load(name, count=DEMOS.get(name, 1))
            samples = [sample.input for sample in shown.samples]
            attribution = Explainer(shown.model, shown.processor)(samples, progress=True, return_maps=True)
            render(attribution, console)
            attribution.to_html(out / f"{name}.html")
            write_picture(attribution.plot(), out / f"{name}.png")
            write_picture(attribution.plot_layers(), out / f"{name}_layers.png")
            console.print(f"wrote {out / name}.html, {name}.png, {name}_layers.png\n", highlight=False)
