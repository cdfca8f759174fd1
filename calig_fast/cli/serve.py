"""`calig serve`: explanations of a saved model in the browser, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .errors import hint, plain_errors
from .loading import loaded_from


def serve(
    model: options.Model,
    *,
    host: Annotated[str, typer.Option(help="Address to listen at; others than 127.0.0.1 let others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port, 0 for any that is free.")] = 8321,
    device: options.Device = None,
    debug: options.Debug = False,
) -> None:
    """Explain texts or pictures in the browser: scores by layer, probabilities without words, pages to share."""
    with plain_errors(debug):
        from .answers import Answers
        from .server import LOCAL, Server

        classifier, processor = loaded_from(model, device=device)
        with Server(Answers(classifier, processor, model.name), host, port) as server:
            if host not in LOCAL:
                hint(f"--host {host}: everyone who reaches this address can use the model")
            typer.echo(f"{server.url} shows {model.name}; Ctrl-C ends it")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo("", err=True)
