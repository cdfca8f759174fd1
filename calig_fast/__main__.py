"""`python -m calig_fast` is the command `calig`."""

from .cli import app

app()
