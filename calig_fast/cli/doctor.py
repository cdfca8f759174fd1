"""`calig doctor`: the installed parts, the backends that run, and the engine of a saved model."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import plain_errors
from .writing import STDOUT, folders_exist, write_json

PACKAGES = ("torch", "transformers", "timm", "captum", "matplotlib", "pyarrow", "triton")


Saved = Annotated[Path | None, typer.Option(help="Folder of a saved classifier: tell which engine runs it, and why.")]


def doctor(model: Saved = None, json: options.Json = None, debug: options.Debug = False) -> None:
    """Show the installed parts, the backends that run and the reasons of the others, and the engine of a model."""
    with plain_errors(debug):
        from dataclasses import asdict

        from .. import build_info
        from ..model import families
        from .loading import classifier
        from .recognised import recognised

        folders_exist(json)
        found, versions = build_info(), {name: _version(name) for name in PACKAGES}
        told = None if model is None else recognised(classifier(model))
        if json:
            parts = {**asdict(found), "packages": versions, "families": list(families.names())}
            write_json(parts if told is None else {**parts, "model": asdict(told)}, json)
        if json != STDOUT:
            typer.echo(str(found))
            typer.echo("packages:")
            for name, version in versions.items():
                typer.echo(f"  {name} {version or 'not installed'}")
            typer.echo(f"model families: {', '.join(families.names())}")
            if told is not None:
                known = f"family {told.family}, " if told.family else ""
                typer.echo(f"model {model}: {known}engine {told.engine}{told.why and f', because {told.why}'}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
