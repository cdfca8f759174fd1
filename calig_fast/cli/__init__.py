"""The command `calig`: explain a saved model's decisions, compare methods, measure times, and list the installation."""

from __future__ import annotations

from typing import Annotated

import typer

from .._utils.version import __version__
from .bench import bench
from .compare import compare
from .corpus import app as corpus
from .demo import demo
from .doctor import doctor
from .errors import OneLine
from .estimate import estimate
from .explain import explain
from .models import models
from .options import Command
from .serve import serve
from .verify import verify

app = typer.Typer(
    cls=OneLine,
    help="Explain decisions of a transformer classifier, with an error bound.",
    epilog="Exit codes: 0 done; 1 the work failed, or lines of many were left out; 2 what was asked cannot be done. An "
    "error is one line on standard error; --debug shows where it came from.",
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"calig_fast {__version__}")
        raise typer.Exit


@app.callback()
def calig(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explain decisions of a transformer classifier, with an error bound."""


for command in (explain, serve, compare, estimate, verify, bench, demo, models, doctor):
    app.command(cls=Command)(command)
app.add_typer(corpus, name="corpus")
