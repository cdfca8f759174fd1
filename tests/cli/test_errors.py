"""Exit codes, and errors as one line."""

import errno

import pytest
import typer

from calig_fast.cli.errors import FAILED, USAGE, code_of, plain_errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("x"), USAGE),
        (TypeError("x"), USAGE),
        (FileNotFoundError(errno.ENOENT, "x"), USAGE),
        (OSError(errno.ENOSPC, "disk full"), FAILED),
        (RuntimeError("x"), FAILED),
        (ImportError("x"), FAILED),
    ],
)
def test_whose_fault_it_was(error, code):
    assert code_of(error) == code


def test_one_line_on_standard_error(capsys):
    with pytest.raises(typer.Exit) as caught, plain_errors(debug=False):
        raise ValueError("first\n  second")
    assert caught.value.exit_code == USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "error: first second\n"


def test_an_error_without_a_message_is_named(capsys):
    with pytest.raises(typer.Exit), plain_errors(debug=False):
        raise KeyError
    assert capsys.readouterr().err == "error: KeyError\n"


def test_debug_and_an_exit_go_through():
    with pytest.raises(ValueError, match="as it is"), plain_errors(debug=True):
        raise ValueError("as it is")
    with pytest.raises(typer.Exit) as caught, plain_errors(debug=False):
        raise typer.Exit(7)
    assert caught.value.exit_code == 7
