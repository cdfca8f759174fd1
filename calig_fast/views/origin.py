"""The line of a page on its origin: models, data, release and day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from .._utils.version import __version__
from .one_input import visible


def origin(models: Iterable[str], data: str = "") -> str:
    """Models, data, release and day in a line.

    Args:
        models: their names; each is written once, and an empty one not at all.
        data: the explained inputs in words, "" to leave them out.
    """
    names = dict.fromkeys(visible(name) for name in models if name)
    model = f"model {' and '.join(names)}" if names else ""
    return " \u00b7 ".join(filter(None, (model, data, f"calig_fast {__version__}", date.today().isoformat())))
