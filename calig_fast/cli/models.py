"""`calig models`: the engine of every architecture that was tried, and why it is not the native one."""

from __future__ import annotations

import json as jsons
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import plain_errors
from .writing import STDOUT, folders_exist, write_json

TRIED = Path(__file__).with_name("models.json")  # written by `python -m benchmarks.architectures.models`
Words = Annotated[list[str] | None, typer.Argument(help="Words of names, as bert or timm; all when left out.")]


class Engine(str, Enum):
    """The engines that a model may have, and the two kinds of models without one."""

    NATIVE = "native"
    AUTOGRAD = "autograd"
    REFUSED = "refused"
    NOT_TRIED = "not tried"


Chosen = Annotated[Engine | None, typer.Option(help="Only the models of this engine.")]


def models(words: Words = None, engine: Chosen = None, json: options.Json = None, debug: options.Debug = False) -> None:
    """Show the engine of every architecture of transformers and timm that was tried, and the reasons."""
    with plain_errors(debug):
        folders_exist(json)
        tried = jsons.loads(TRIED.read_text(encoding="utf-8"))
        lowered = [word.lower() for word in words or ()]
        rows = [
            row
            for row in tried["models"]
            if (engine is None or row["engine"] == engine)
            and (not lowered or any(word in row["name"].lower() for word in lowered))
        ]
        if not rows:
            raise ValueError(f"models: no architecture that was tried has {' or '.join(words or ())} in its name")
        if json:
            write_json({**tried, "models": rows}, json)
        if json != STDOUT:
            width = max(len(row["name"]) for row in rows)
            for row in rows:
                typer.echo(f"{row['engine']:9}  {row['name']:{width}}  {row['why'] or row['family']}".rstrip())
            counts = Counter(row["engine"] for row in rows)
            versions = " and ".join(f"{name} {version}" for name, version in tried["packages"].items())
            typer.echo(f"{', '.join(f'{n} {kind}' for kind, n in counts.most_common())}; small models of {versions}")
