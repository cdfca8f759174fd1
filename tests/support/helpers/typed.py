"""The command as it is typed."""

from typer.testing import CliRunner

from calig_fast.cli import app


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def fails(*arguments, say, code=2):
    found = run(*arguments)
    assert found.exit_code == code, found.output
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("error: ")
    assert say in lines[0]
    assert "Traceback" not in found.output
