"""`python -m calig_fast` is the command `calig`."""

from .cli import app

app(prog_name="calig")  # completion in a shell is that of this name
