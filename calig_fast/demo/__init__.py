"""Real classifiers with labelled held-out inputs, from ordinary packages and small weights of ours; no network."""

from __future__ import annotations

from importlib import import_module

from . import packages
from .demo import Demo, Sample
from .packages import MissingPackageError

NAMES = ("tiny", "topics", "sentiment", "fashion")

__all__ = ["NAMES", "Demo", "MissingPackageError", "Sample", "load"]


def load(name: str, count: int = 4) -> Demo:
    """A real classifier and `count` labelled inputs it was not trained on.

    Args:
        name: "tiny" (one sentence about a film, a small model that needs no other package), "topics" (BBC news, five
            topics, articles of hundreds of words), "sentiment" (one sentence about a film, negative or positive), or
            "fashion" (28 by 28 images of clothes, ten kinds).
        count: how many samples; the same first samples every time, the classes taking turns.

    Returns:
        the `Demo`.

    Raises:
        ValueError: no demo has that name, or `count` exceeds its held-out samples (the message says how many).
        MissingPackageError: a package is missing; the message has the command that installs it.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; got {name!r}")
    needed = {"transformers": "transformers>=4.50", "PIL": "pillow"}
    for module, wanted in needed.items() if name != "tiny" else [("transformers", needed["transformers"])]:
        packages.folder(module, f'pip install "{wanted}"')
    demo: Demo = import_module(f".{name}", __name__).load(count)
    return demo
