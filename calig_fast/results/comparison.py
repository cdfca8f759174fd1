"""Explanations side by side: several methods on the same inputs, or several inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .._utils import files
from .._utils.arguments import kind, position
from .attribution import Attribution
from .rendering import as_title, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

MOST = 10_000  # explanations that stand side by side


@dataclass(frozen=True, eq=False)
class Comparison:
    """Explanations that are shown side by side; made by `compare`.

    Args:
        names: the title of each.
        attributions: as many, all of texts or all of images, each of the same number of inputs.
    """

    names: tuple[str, ...]
    attributions: tuple[Attribution, ...]

    def __repr__(self) -> str:
        inputs = f"{len(self)} input{'' if len(self) == 1 else 's'}"
        return f"Comparison of {inputs}, side by side: {', '.join(map(repr, self.names))}"

    def __len__(self) -> int:
        """Inputs that each explanation has."""
        return self.attributions[0].batch

    def same_input(self, index: int) -> bool:
        """Return True if all explain the same words (or patches) there, so that word n is the same in each.

        Raises:
            IndexError: no such input.
            TypeError: no int.
        """
        index = position("index", index, len(self))
        first = self.attributions[0]
        for name in ("texts", "images", "mask"):
            inputs = [getattr(a, name) for a in self.attributions]
            if any(i is None for i in inputs):
                if not all(i is None for i in inputs):
                    return False
            elif any(not _equal(i[index], inputs[0][index]) for i in inputs):
                return False
        return all(a.grid == first.grid for a in self.attributions)

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str:
        """A self-contained HTML page; written to `path` when given, and returned.

        Args:
            path: the file, or None.
            title: of the page, None for the usual one.

        Raises:
            TypeError, ValueError: `path` is not the name of a file, or `title` no text.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        text: str = render("compare_page", self, as_title(title))
        if path is not None:
            files.write(path, text)
        return text

    def _repr_html_(self) -> str:
        text: str = render("compare_fragment", self)
        return text

    def plot(self, index: int = 0, percentile: float = 99.0, opacity: float = 0.8) -> Figure:
        """A matplotlib figure of one input: the text once for each explanation, or the patches of each over the image.

        Args:
            index: which input.
            percentile: of each one's magnitudes that is drawn at full colour, above 0 and at most 100.
            opacity: of the strongest score over an image, 0 to 1.

        Raises:
            ImportError: matplotlib is not installed.
            IndexError: no such input.
            ValueError: percentile or opacity out of range.
        """
        figure: Figure = render("compare_plot", self, index, percentile, opacity)
        return figure

    def print(self, console: Console | None = None) -> None:
        """Print every input in the terminal, the explanations in columns where they fit.

        Args:
            console: where to print; standard output by default.
        """
        render("compare_terminal", self, console)


def compare(
    attributions: Mapping[str, Attribution] | Sequence[Attribution], names: Sequence[str] | None = None
) -> Comparison:
    """Put explanations side by side: of several methods, of several targets, or of several inputs.

    `compare([a, b])` shows input i of `a` beside input i of `b`; `compare(list(a))` shows the inputs of one explanation
    beside each other.

    Args:
        attributions: the explanations, or a dict of them by name; all of texts or all of images, each of the same
            number of inputs.
        names: the title of each; without it the method, with the target or a number where methods repeat.

    Returns:
        the comparison: `to_html`, `plot` and `print` show it, and in a notebook it shows itself.

    Raises:
        TypeError: something else than attributions.
        ValueError: none at all, texts beside images, different numbers of inputs, or names that do not match.
    """
    if isinstance(attributions, Mapping):
        if names is not None:
            raise ValueError("names: the dict of attributions has names already; leave names out")
        names, attributions = [str(n) for n in attributions], list(attributions.values())
    if isinstance(attributions, Attribution):
        raise TypeError(
            "attributions: expected a list or a dict of attributions, got one; pass [a, b], or list(a) for its inputs"
        )
    if not isinstance(attributions, Iterable) or isinstance(attributions, str | Tensor | np.ndarray):
        raise TypeError(f"attributions: expected a list or a dict of explanations, got {kind(attributions)}")
    try:
        shown = tuple(islice(attributions, MOST))
    except Exception as error:  # of the caller's own class or generator
        raise ValueError(
            f"attributions: reading them from a {type(attributions).__name__} fails ({type(error).__name__}: {error})"
        ) from error
    for a in shown:
        if not isinstance(a, Attribution):
            raise TypeError(f"attributions: expected explanations, as explain returns them, got {kind(a)}")
    if not shown:
        raise ValueError("attributions: expected at least one explanation to show, got none")
    if len({a.grid is None for a in shown}) > 1:
        raise ValueError("attributions: texts cannot stand beside images; compare them apart")
    if len({a.batch for a in shown}) > 1:
        raise ValueError(
            f"attributions: expected the same number of inputs in each, got {[a.batch for a in shown]}; "
            "a[3] is one input"
        )
    return Comparison(_names(shown) if names is None else _given(names, len(shown)), shown)


def _given(names: Sequence[str], count: int) -> tuple[str, ...]:
    wanted = f"names: expected {count} names, one for each explanation"
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not all(isinstance(n, str) for n in islice(names, MOST))
    ):
        raise (ValueError if isinstance(names, str) else TypeError)(f"{wanted}, got {kind(names)}")
    if len(names) != count:
        raise ValueError(f"{wanted}, got {kind(names)}")
    return tuple(names)


def _equal(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b


def _names(shown: tuple[Attribution, ...]) -> tuple[str, ...]:
    """The methods, with the target where they repeat, or else numbers."""
    methods = [a.method for a in shown]
    if len(set(methods)) == len(methods):
        return tuple(methods)
    targets = [f"{a.method}: {a.label()}" if a.batch == 1 else a.method for a in shown]
    if len(set(targets)) == len(targets):
        return tuple(targets)
    times, seen = Counter(targets), Counter[str]()
    out = []
    for name in targets:
        seen[name] += 1
        out.append(f"{name} ({seen[name]})" if times[name] > 1 else name)
    return tuple(out)
