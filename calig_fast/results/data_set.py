"""Words or patches over many results: each with the scores of all its places, by one or several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._utils import files
from .._utils.arguments import choice, integer, kind
from .attribution import Attribution
from .rendering import as_title, render
from .units import named_units, usual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("beeswarm", "bar", "heatmap")
SHOWN = 8  # units in the line that a console shows
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Places:
    """All places of a word, or of a patch, in one run.

    Args:
        inputs: [N] int64, which input each place is in, counted over the run.
        scores: [N] float64, the score of each place.
        of: inputs of the run.
    """

    inputs: NDArray[np.int64]
    scores: Floats
    of: int

    @property
    def mean(self) -> float:
        """The mean score of a place; 0 where there is none."""
        return float(self.scores.mean()) if len(self.scores) else 0.0

    @property
    def importance(self) -> float:
        """sum |score| / inputs, the mean magnitude over the data set; an input without the word counts as 0."""
        return float(np.abs(self.scores).sum()) / max(self.of, 1)


@dataclass(frozen=True, eq=False)
class DataSetSummary:
    """The most important words or patches of a data set; made by `summary`.

    Args:
        names: of the runs.
        units: the words, or the places of the patches, from the most important down.
        places: [runs][units] the places of each.
        inputs: [runs] inputs of each run.
        unit: "word", "patch" or "token".
        left_out: units beyond these.
        models: names of the explained models, each once.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    places: tuple[tuple[Places, ...], ...]
    inputs: tuple[int, ...]
    unit: str
    left_out: int
    models: tuple[str, ...]

    def __repr__(self) -> str:
        inputs = [f"{count} input{'' if count == 1 else 's'}" for count in self.inputs]
        runs = [f"{n} of {name!r}" if name else n for n, name in zip(inputs, self.names, strict=True)]
        first = ", ".join(map(repr, self.units[:SHOWN])) + (", ..." if len(self.units) > SHOWN else "")
        units = "patches" if self.unit == "patch" else f"{self.unit}s"
        return f"DataSetSummary of {', '.join(runs)}; the most important {units}: {first}"

    def plot(self, kind: str = "beeswarm") -> Figure:
        """A matplotlib figure, the runs side by side.

        Args:
            kind: "beeswarm" (a dot a place), "bar" (the mean magnitude) or "heatmap" (units by inputs).

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: an unknown kind.
        """
        figure: Figure = render("data_set_plot", self, choice("kind", kind, KINDS))
        return figure

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str:
        """A self-contained HTML page: a table to sort and search, with a dot a place, and a heatmap of each run.

        Args:
            path: the file, or None.
            title: of the page, None for the usual one.

        Raises:
            TypeError, ValueError: `path` is not the name of a file, or `title` no text.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        text: str = render("data_set_page", self, as_title(title))
        if path is not None:
            files.write(path, text)
        return text


def summary(
    results: Attribution | Sequence[Attribution] | Mapping[str, Any], count: int = 20, target: str | None = None
) -> DataSetSummary:
    """Collect the words or patches of many results, with the scores of all their places.

    Args:
        results: an explanation of many inputs, several of them, or a dict of these by the name of a model or run.
        count: words or patches, those of the largest mean magnitude in any run.
        target: the explained class (`Attribution.label`) of the inputs that count, None for all of them.

    Returns:
        the `DataSetSummary`: `plot` and `to_html` show it.

    Raises:
        TypeError: something else than explanations.
        ValueError: none, texts beside images, grids that differ, `count` below 1, or no input of the target.
    """
    count = integer("count", count, 1)
    runs = {str(n): _list(r) for n, r in results.items()} if isinstance(results, Mapping) else {"": _list(results)}
    every = [a for run in runs.values() for a in run]
    if not every:
        raise ValueError("results: expected at least one explanation, got none")
    units = {usual(a) for a in every}
    if len(units) > 1:
        raise ValueError(f"results: expected all of texts or all of images, got both ({', '.join(sorted(units))})")
    if len({(a.grid.rows, a.grid.columns) for a in every if a.grid is not None}) > 1:
        raise ValueError("results: expected images of one grid of patches; summarise other sizes apart")
    places_by_run = {name: _places(run, target) for name, run in runs.items()}
    if not any(inputs for _, inputs in places_by_run.values()):
        known = sorted({a.label(b) for a in every for b in range(a.batch)})
        raise ValueError(f"target: expected an explained class, one of {', '.join(known[:8])}; got {target!r}")
    rows = [{unit: _joined(parts, inputs) for unit, parts in held.items()} for held, inputs in places_by_run.values()]
    weights: dict[str, float] = {}
    for row in rows:
        for unit, places in row.items():
            weights[unit] = max(weights.get(unit, 0.0), places.importance)
    chosen = sorted(weights, key=lambda unit: -weights[unit])[:count]
    inputs = tuple(n for _, n in places_by_run.values())
    nothing = np.zeros(0)
    return DataSetSummary(
        names=tuple(runs),
        units=tuple(chosen),
        places=tuple(
            tuple(row.get(u, Places(nothing.astype(np.int64), nothing, n)) for u in chosen)
            for row, n in zip(rows, inputs, strict=True)
        ),
        inputs=inputs,
        unit=units.pop(),
        left_out=len(weights) - len(chosen),
        models=tuple(dict.fromkeys(a.settings.model for a in every if a.settings.model)),
    )


def _list(results: Any) -> list[Attribution]:
    run = [results] if isinstance(results, Attribution) else results
    if isinstance(run, str) or not isinstance(run, Sequence) or not all(isinstance(a, Attribution) for a in run):
        raise TypeError(f"results: expected explanations, as explain returns them, got {kind(results)}")
    return list(run)


def _places(run: list[Attribution], target: str | None) -> tuple[dict[str, list[tuple[int, float]]], int]:
    """Input and score of each place by unit, and the inputs that count."""
    held: dict[str, list[tuple[int, float]]] = {}
    number = 0
    for a in run:
        for b in range(a.batch):
            if target is not None and a.label(b) != target:
                continue
            scores = a.scores[b].double().cpu().nan_to_num().tolist()
            for unit in named_units(a, b, usual(a)):
                if not unit.special:
                    held.setdefault(unit.text.casefold(), []).append((number, sum(scores[t] for t in unit.tokens)))
            number += 1
    return held, number


def _joined(parts: list[tuple[int, float]], inputs: int) -> Places:
    places, scores = zip(*parts, strict=True)
    return Places(np.array(places, dtype=np.int64), np.array(scores, dtype=np.float64), inputs)
