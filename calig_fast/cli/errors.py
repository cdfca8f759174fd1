"""Exit codes, and errors as one line on standard error."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup

FAILED, USAGE = 1, 2
_NO_FAULT_OF_THE_PATH = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE}


def code_of(error: Exception) -> int:
    """`USAGE` where an argument is wrong, a file that it names included; else `FAILED`."""
    if isinstance(error, OSError):
        return FAILED if error.errno in _NO_FAULT_OF_THE_PATH else USAGE
    return USAGE if isinstance(error, ValueError | TypeError) and not isinstance(error, RuntimeError) else FAILED


@contextlib.contextmanager
def plain_errors(debug: bool) -> Iterator[None]:
    """Show an error as one line and an exit code; with `debug` as a traceback."""
    try:
        yield
    except Exception as error:
        if debug or isinstance(error, typer.Exit | typer.Abort):
            raise
        tell(str(error) or type(error).__name__)
        raise typer.Exit(code_of(error)) from error


def tell(message: str) -> None:
    """Print `error: ` and the message as one line on standard error."""
    typer.secho("error:", fg="red", err=True, nl=False)
    typer.echo(f" {' '.join(message.split())}", err=True)


def hint(message: str) -> None:
    """Print `hint: ` and the message as one line on standard error."""
    typer.secho("hint:", fg="yellow", err=True, nl=False)
    typer.echo(f" {' '.join(message.split())}", err=True)


def finish(left_out: int) -> None:
    """Leave with the code of a failure where some inputs were left out.

    Raises:
        typer.Exit: there were some.
    """
    if left_out:
        tell(f"{left_out} line{'s were' if left_out > 1 else ' was'} left out")
        raise typer.Exit(FAILED)


class OneLine(TyperGroup):
    """The command's group: a wrong option is one line too."""

    def main(self, *args: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run a command and leave with its exit code; typer's own `main` where that is not wanted."""
        main: Callable[..., Any] = super().main
        if not standalone_mode:
            return main(*args, standalone_mode=False, **more)
        try:
            code = main(*args, standalone_mode=False, **more)
        except Exception as error:  # typer has its own copy of click, or click's, by release
            if not hasattr(error, "format_message"):
                raise
            context, message = getattr(error, "ctx", None), error.format_message().rstrip(".")
            if message:  # without a command the help is printed, and there is nothing more to say
                tell(message + (f"; see {context.command_path} --help" if context else ""))
            raise SystemExit(USAGE) from None
        raise SystemExit(code if isinstance(code, int) else 0)
