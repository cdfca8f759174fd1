"""`calig doctor`: the installed parts, the backends that run, and the engine of a saved model."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import FAILED, plain_errors, tell
from .writing import STDOUT, folders_exist, write_json

# A package, and the command that installs it; None where another one brings it along.
PACKAGES = {
    "torch": "pip install torch",
    "transformers": 'pip install "calig_fast[models]"',
    "timm": 'pip install "calig_fast[models]"',
    "captum": 'pip install "calig_fast[bench]"',
    "matplotlib": 'pip install "calig_fast[plots]"',
    "pyarrow": 'pip install "calig_fast[corpus]"',
    "triton": None,
}


Saved = Annotated[
    Path | None, typer.Option(help="A saved classifier, as for explain: tell which engine runs it, and why.")
]


def doctor(model: Saved = None, json: options.Json = None, debug: options.Debug = False) -> None:
    """Show the installed parts, the backends that run and the reasons of the others, and the engine of a model."""
    with plain_errors(debug):
        folders_exist(json)
        versions = {name: _version(name) for name in PACKAGES}
        if importlib.util.find_spec("torch") is None:
            _without_torch(versions, json)
        from dataclasses import asdict

        from .. import build_info
        from ..model import families
        from .loading import classifier
        from .recognised import recognised

        build = build_info()
        traits = None if model is None else recognised(classifier(model))
        if json:
            parts = {**asdict(build), "packages": versions, "families": list(families.names())}
            write_json(parts if traits is None else {**parts, "model": asdict(traits)}, json)
        if json != STDOUT:
            typer.echo(str(build))
            _list(versions)
            typer.echo(f"model families: {', '.join(families.names())}")
            if traits is not None:
                known = f"family {traits.family}, " if traits.family else ""
                typer.echo(f"model {model}: {known}engine {traits.engine}{traits.why and f', because {traits.why}'}")


def _without_torch(versions: dict[str, str | None], json: Path | None) -> None:
    """Show the packages, and leave with the code of a missing package.

    Raises:
        typer.Exit: always.
    """
    if json:
        write_json({"packages": versions}, json)
    if json != STDOUT:
        _list(versions)
    tell(f"PyTorch is not installed, and nothing runs without it: {PACKAGES['torch']}")
    raise typer.Exit(FAILED)


def _list(versions: dict[str, str | None]) -> None:
    typer.echo("packages:")
    for name, version in versions.items():
        mend = PACKAGES[name]
        typer.echo(f"  {name} {version or 'not installed'}" + (f": {mend}" if mend and not version else ""))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
