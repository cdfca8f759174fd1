"""Views of a result: terminal, HTML, figures; registered here, loaded at their first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..results.rendering import register_renderer

_VIEWS = {
    "page": ("html", "page"),
    "fragment": ("html", "fragment"),
    "terminal": ("terminal", "render"),
    "table": ("table", "table"),
    "table_html": ("table", "table_html"),
    "plot": ("plots", "plot"),
    "plot_layers": ("plots", "plot_layers"),
    "data_set_page": ("data_set", "page"),
    "data_set_plot": ("data_set", "plot"),
    "compare_page": ("html", "compare_page"),
    "compare_fragment": ("html", "compare_fragment"),
    "compare_plot": ("side_by_side", "plot_comparison"),
    "compare_terminal": ("terminal", "render_comparison"),
}


def _at_first_use(module: str, function: str) -> Callable[..., Any]:
    def view(*args: Any) -> Any:
        return getattr(import_module(f"{__name__}.{module}"), function)(*args)

    return view


for _name, (_module, _function) in _VIEWS.items():
    register_renderer(_name, _at_first_use(_module, _function))


def __getattr__(name: str) -> Any:
    """`summary`, at its first use: it needs torch."""
    if name != "summary":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("calig_fast.results.data_set").summary
