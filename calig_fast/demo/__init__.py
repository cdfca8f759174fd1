"""Real classifiers with labelled held-out inputs, from ordinary packages and small weights of ours; no network."""

from __future__ import annotations

from importlib import import_module

from . import packages
from .demo import Demo, Sample
from .packages import MissingPackageError

NAMES = ("topics", "sentiment", "fashion")

__all__ = ["NAMES", "Demo", "MissingPackageError", "Sample", "load"]


def load(name: str, count: int = 4) -> Demo:
    """A real classifier and `count` labelled inputs it was not trained on.

    Args:
        name: "topics" (BBC news, five topics, articles of hundreds of words), "sentiment" (one sentence about a film,
            negative or positive), or "fashion" (28 by 28 images of clothes, ten kinds).
        count: how many samples; the same first samples every time, the classes taking turns.

    Returns:
        the `Demo`.

    Raises:
        ValueError: no demo has that name, or `count` exceeds its held-out samples (the message says how many).
        MissingPackageError: a package is missing; the message has the command that installs it.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; got {name!r}")
    for module, wanted in (("transformers", "transformers>=4.50"), ("PIL", "pillow")):
        packages.folder(module, f'pip install "{wanted}"')
    demo: Demo = import_module(f".{name}", __name__).load(count)
    return demo
