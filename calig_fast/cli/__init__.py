"""The command `calig`: explain a saved model's decisions, compare methods, measure times, and list the installation."""

from __future__ import annotations

import typer

from .bench import bench
from .compare import compare
from .demo import demo
from .doctor import doctor
from .errors import OneLine
from .explain import explain

app = typer.Typer(
    cls=OneLine,
    help="Explain decisions of a transformer classifier, with an error bound.",
    epilog="Exit codes: 0 done; 1 the work failed; 2 what was asked cannot be done. An error is one line on standard "
    "error; --debug shows where it came from.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (explain, compare, bench, demo, doctor):
    app.command()(command)
