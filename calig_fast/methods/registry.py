"""The methods by name: one file each in this folder, methods registered by the program, and entry points."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace
from functools import cache

from .._utils.arguments import between, kind, shown
from .._utils.entry_points import load_entry_points
from .base import Method
from .calig import calig
from .fusion import Fusion

ENTRY_POINTS = "calig_fast.methods"
ELSEWHERE = {  # names of other packages, letters alone
    "integratedgradients": 'method="ig"',
    "layerintegratedgradients": 'method="layer_ig"',
    "layerconductance": 'method="conductance"',
    "inputxgradient": 'method="gradient_x_input"',
    "attentionrollout": 'method="rollout"',
    "smoothgrad": "metrics.smoothed, over noise",
    "noisetunnel": "metrics.smoothed, over noise",
}
_registered: dict[str, Method] = {}


@cache
def _shipped() -> dict[str, Method]:
    """The methods of this folder: every file with a METHOD."""
    package = __package__ or ""
    files = pkgutil.iter_modules(importlib.import_module(package).__path__)
    modules = [importlib.import_module(f"{package}.{file.name}") for file in files]
    return {m.METHOD.name: m.METHOD for m in modules if hasattr(m, "METHOD")}


@cache
def _installed() -> dict[str, Method]:
    """The methods that installed packages offer under the entry point group calig_fast.methods."""
    return {method.name: method for method in load_entry_points(ENTRY_POINTS, Method)}


def methods() -> dict[str, Method]:
    """Every known method by name."""
    return {**_shipped(), **_installed(), **_registered}


def register_method(method: Method) -> Method:
    """Make a method known by its name, for `method=` of `explain` and the command line.

    Args:
        method: name, signals it needs, and a function from signals to (scores [B,T], layer scores [B,L,T]).

    Returns:
        the method, so that the call can stand around its definition.

    Raises:
        TypeError: something else than a Method.
        ValueError: a shipped method has this name.
    """
    if not isinstance(method, Method):
        raise TypeError(f"method: expected a Method, got {kind(method)}")
    if method.name in _shipped():
        raise ValueError(f'method: "{method.name}" is a method of calig_fast; choose another name')
    _registered[method.name] = method
    return method


def resolve(method: str | Fusion | Method, lam: float | None) -> Method:
    """The method asked for.

    Args:
        method: a name, CA-LIG's options, or a method.
        lam: weight of relevance in the fusion, None for the options' own.

    Raises:
        ValueError: an unknown name; lam for a method that fuses nothing; lam outside 0..1.
        TypeError: neither a name nor options nor a method; lam that is no number.
    """
    if isinstance(method, Fusion):
        resolved = calig(method)
    elif isinstance(method, Method):
        resolved = method
    elif not isinstance(method, str):
        hint = "; make one, as in Fusion()" if method is Fusion or method is Method else ""
        raise TypeError(f"method: expected a name, a Fusion or a Method, got {kind(method)}{hint}")
    elif method not in (known := methods()):
        raise ValueError(
            f"method: {shown(method)} is not one of {sorted(known)}, nor a Fusion or Method of your own{_hint(method)}"
        )
    else:
        resolved = known[method]
    if lam is None:
        return resolved
    weight = between("lam", lam, "a number from 0 to 1", 0.0, 1.0)
    if resolved.fusion is None:
        raise ValueError(f'lam: method "{resolved.name}" fuses nothing; leave lam at None, or use method="calig"')
    return replace(calig(replace(resolved.fusion, lam=weight)), name=resolved.name)


def _hint(method: str) -> str:
    """Our name of a method that is called otherwise elsewhere, or is written otherwise."""
    letters = _letters(method)
    ours = {**{_letters(name): f'method="{name}"' for name in methods()}, **ELSEWHERE}
    return f"; here it is {ours[letters]}" if letters in ours else ""


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
