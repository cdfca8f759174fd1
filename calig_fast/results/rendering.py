"""The registry of renderers: the views register here, so that data imports no view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_RENDERERS: dict[str, Callable[..., Any]] = {}


def register_renderer(name: str, function: Callable[..., Any]) -> None:
    """Register a function that shows a result.

    Args:
        name: "page", "table" of an attribution, or of its scores by other units; "terminal", "table_html" of the
            latter; "fragment", "plot", "plot_layers" of an attribution; "compare_page", "compare_fragment",
            "compare_plot", "compare_terminal" of a comparison; "data_set_page", "data_set_plot"
            of a summary. A later function replaces an earlier one.
        function: takes the result first, then the arguments of the method that calls it.
    """
    _RENDERERS[name] = function


def as_title(title: str | None) -> str | None:
    """The title of a page.

    Raises:
        TypeError: no text.
    """
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title: expected a text, or None for the usual title; got {type(title).__name__}")
    return title


def render(name: str, *args: Any) -> Any:
    """Call a registered renderer.

    Raises:
        RuntimeError: none of that name is registered.
    """
    if name not in _RENDERERS:
        raise RuntimeError(f'no renderer "{name}" is registered; import calig_fast.views')
    return _RENDERERS[name](*args)
