"""`calig doctor`: the installed parts and the backends that run."""

from __future__ import annotations

import importlib.metadata

import typer

from . import options
from .errors import plain_errors
from .writing import STDOUT, folders_exist, write_json

PACKAGES = ("torch", "transformers", "timm", "captum", "matplotlib", "pyarrow", "triton")


def doctor(json: options.Json = None, debug: options.Debug = False) -> None:
    """Show the installed parts, the backends that run, and the reasons of those that do not."""
    with plain_errors(debug):
        from dataclasses import asdict

        from .. import build_info
        from ..model import families

        folders_exist(json)
        found, versions = build_info(), {name: _version(name) for name in PACKAGES}
        if json:
            write_json({**asdict(found), "packages": versions, "families": list(families.names())}, json)
        if json != STDOUT:
            typer.echo(str(found))
            typer.echo("packages:")
            for name, version in versions.items():
                typer.echo(f"  {name} {version or 'not installed'}")
            typer.echo(f"model families: {', '.join(families.names())}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
