"""The report of a corpus: words that move each class, inputs to look at, and two runs compared."""

from __future__ import annotations

import heapq
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np

from .._utils import files
from ..results.tables import needed
from . import words
from .items import Id
from .parts import UNITS, Folder
from .plan import inputs_of
from .tables import arrow

TOP = 12  # words of a list
SHOWN = 10  # inputs of a list
LEAST = 3  # inputs that a word is in, where there are words in so many
NORMAL = 1.96  # of a 95 % interval
FAILED, SLOW, UNSURE, AGAINST = "failed", "slow", "unsure", "against"


@dataclass(frozen=True)
class Mean:
    """A mean over inputs with its 95 % interval (normal approximation).

    Args:
        value: the mean.
        half: half the width of the interval, nan for one input.
    """

    value: float
    half: float

    @property
    def text(self) -> str:
        """The mean and its interval."""
        return f"{self.value:.3g}" + ("" if math.isnan(self.half) else f" ± {self.half:.2g}")


@dataclass(frozen=True)
class Moved:
    """A word of a class.

    Args:
        word: as written; the place of a patch.
        count: inputs of the class that have it.
        score: mean score.
        share: mean share of the magnitudes of an input's scores.
    """

    word: str
    count: int
    score: Mean
    share: Mean


@dataclass
class Inputs:
    """The inputs of a corpus, in numbers.

    Args:
        count: all.
        failed: those without an explanation.
        converged: those whose errors met the tolerance.
        against: those whose scores add up to less than zero for the explained class.
        labels: inputs by their class.
        lists: (value, id, text) of the inputs to look at, by `FAILED`, `SLOW`, `UNSURE`, `AGAINST`.
    """

    count: int = 0
    failed: int = 0
    converged: int = 0
    against: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    lists: dict[str, list[tuple[float, str, str]]] = field(default_factory=dict)

    def note(self, name: str, value: float, id: Id, text: str) -> None:
        """Keep an input where it is among the largest of its list."""
        held = self.lists.setdefault(name, [])
        if not math.isnan(value):
            (heapq.heappush if len(held) < SHOWN else heapq.heappushpop)(held, (value, str(id), text))

    def shown(self, name: str) -> list[tuple[float, str, str]]:
        """A list, largest first."""
        return sorted(self.lists.get(name, []), reverse=True)


def report(
    out: str | os.PathLike[str],
    other: str | os.PathLike[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> str:
    """A self-contained HTML page of a corpus; written to `path` when given, and returned.

    Args:
        out: folder that `explain_corpus` wrote.
        other: a second such folder, compared with the first; or None.
        path: the file, or None.

    Raises:
        ValueError: a folder holds no corpus.
        OSError: the file cannot be written.
    """
    from jinja2 import Environment

    folder = _opened(out)
    inputs, table = _inputs(folder), words.sums(folder)
    text = (resources(__package__) / "templates" / "report.html").read_text(encoding="utf-8")
    compared = None if other is None else _compared(folder, table, _opened(other))
    page = (
        Environment(autoescape=True)
        .from_string(text)
        .render(
            name=Path(out).name,
            inputs=inputs,
            lists=(SLOW, UNSURE, AGAINST, FAILED),
            classes={label: _lists(of) for label, of in _by_label(table)},
            compared=compared,
            other=None if other is None else str(other),
            work=next(iter(folder.there.values())).record,
        )
    )
    if path is not None:
        files.write(path, page)
    return page


def _opened(out: str | os.PathLike[str]) -> Folder:
    folder = Folder(Path(out))
    folder.look()
    if not folder.there:
        raise ValueError(f"out: {out} holds no corpus; name the folder that explain_corpus wrote")
    return folder


def _inputs(folder: Folder) -> Inputs:
    inputs = Inputs()
    for name in sorted(folder.there):
        totals = _totals(folder, name)
        for row in inputs_of(folder, name).to_pylist():
            _note(inputs, row, totals.get(row["id"]))
    return inputs


def _note(inputs: Inputs, row: dict[str, Any], total: float | None) -> None:
    inputs.count += 1
    if row["error"] is not None:
        inputs.failed += 1
        inputs.note(FAILED, -inputs.failed, row["id"], row["error"])
        return
    inputs.labels[row["label"]] += 1
    inputs.converged += bool(row["converged"])
    if row["seconds"] is not None:
        inputs.note(SLOW, row["seconds"], row["id"], f"{row['seconds']:.2f} s, {row['tokens']} tokens")
    margin = _margin(row["logits"])
    inputs.note(UNSURE, -margin, row["id"], f"{row['predicted']}, ahead by {margin:.3g} of the next logit")
    if total is not None and total < 0:
        inputs.against += 1
        inputs.note(AGAINST, -total, row["id"], f"{row['label']}, scores add up to {total:.3g}")


def _margin(logits: list[float] | None) -> float:
    largest = sorted(logits or (), reverse=True)[:2]
    return largest[0] - largest[1] if len(largest) == 2 else float("nan")


def _totals(folder: Folder, name: str) -> dict[Id, float]:
    """The sum of the scores of each input, without special tokens."""
    if not folder.there[name].rows:
        return {}
    parquet = needed("pyarrow.parquet", "corpus", "a corpus")
    table = parquet.ParquetFile(folder.file(name, UNITS)).read(columns=["id", "special", "score"])
    table = table.filter(arrow().compute.invert(table["special"])).group_by("id").aggregate([("score", "sum")])
    return dict(zip(table["id"].to_pylist(), table["score_sum"].to_pylist(), strict=True))


def _by_label(table: Any) -> Iterator[tuple[str, Any]]:
    for label in dict.fromkeys(table["label"].to_pylist()):
        yield label, table.filter(arrow().compute.equal(table["label"], label))


def _moved(table: Any) -> list[Moved]:
    """The words of a table of sums; those of few inputs are left out where others are in more."""
    columns = {name: np.asarray(table[name].to_numpy(), dtype=float) for name in words.SUMS}
    count = columns["count"]
    means = {name: _mean(columns[name], columns[f"{name}2"], count) for name in ("score", "share")}
    least = LEAST if (count >= LEAST).sum() >= TOP else 1
    return [
        Moved(word, int(count[i]), *(Mean(float(means[n][0][i]), float(means[n][1][i])) for n in ("score", "share")))
        for i, word in enumerate(table["word"].to_pylist())
        if count[i] >= least
    ]


def _mean(total: Any, squares: Any, count: Any) -> tuple[Any, Any]:
    """Means, and half the widths of their intervals."""
    mean = total / count
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum(0, squares / count - mean**2) * count / (count - 1))
    return mean, np.where(count > 1, NORMAL * spread / np.sqrt(count), np.nan)


def _lists(table: Any) -> dict[str, list[Moved]]:
    """The words that move a class most."""
    every = _moved(table)
    by_score = sorted(every, key=lambda one: one.score.value, reverse=True)
    return {
        "for it, by mean score": [one for one in by_score[:TOP] if one.score.value > 0],
        "against it, by mean score": [one for one in by_score[::-1][:TOP] if one.score.value < 0],
        "by mean share": sorted(every, key=lambda one: one.share.value, reverse=True)[:TOP],
    }


def _compared(one: Folder, table: Any, other: Folder) -> dict[str, Any]:
    """The inputs that both have, their labels, and the words whose mean scores differ most."""
    labels = [dict(_labels(folder)) for folder in (one, other)]
    both = [key for key in labels[0] if key in labels[1]]
    changed = Counter((labels[0][key], labels[1][key]) for key in both if labels[0][key] != labels[1][key])
    means = [
        {(label, word.word): word.score for label, of in _by_label(totals) for word in _moved(of)}
        for totals in (table, words.sums(other))
    ]
    moved = []
    for key in means[0].keys() & means[1].keys():
        first, second = means[0][key], means[1][key]
        half = math.hypot(first.half, second.half)
        moved.append((*key, first, second, Mean(second.value - first.value, half)))
    moved.sort(key=lambda row: (-abs(row[4].value), row[0], row[1]))
    return {"both": len(both), "same": len(both) - sum(changed.values()), "changed": changed, "words": moved[: 2 * TOP]}


def _labels(folder: Folder) -> Iterator[tuple[tuple[str, str], str]]:
    """(id, content) and label of every explained input."""
    for name in sorted(folder.there):
        table = inputs_of(folder, name, ["id", "content", "label", "error"]).to_pylist()
        yield from (((str(r["id"]), r["content"]), r["label"]) for r in table if r["error"] is None)
