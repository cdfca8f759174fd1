"""Scores of words, sentences, patches or spans: the scores of their tokens, brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._utils import files
from .._utils.arguments import choice, integer, position
from .rendering import as_title, render
from .tables import Tables
from .units import By, Unit, named_units, units_of

if TYPE_CHECKING:
    from rich.console import Console

    from .attribution import Attribution

HOW = ("sum", "mean", "max", "absmax")


@dataclass(frozen=True)
class Ranked:
    """A unit among the strongest of its input.

    Args:
        name: the word, sentence or token, or the place of a patch.
        score: natural scale, signed.
        sign: 1 supports, -1 opposes, 0 neither.
        unit: its tokens and its place.
    """

    name: str
    score: float
    sign: int
    unit: Unit


@dataclass(frozen=True, eq=False, repr=False)
class Grouped(Tables):
    """Scores of the units of every input; made by `Attribution.by`.

    With "sum" the units and `rest` add up to the scores of all tokens, so completeness holds as it does for them:
    `layer_scores[b,l].sum() + layer_rest[b,l] = gap[b,l] + convergence_delta[b,l]`. No other `how` keeps it.

    Args:
        attribution: the explanation whose tokens were grouped.
        kind: "token", "patch", "word", "sentence" or "span".
        how: "sum", "mean", "max" (the largest), or "absmax" (the largest in magnitude, with its sign).
        units: the units of every input, U_b of input b.
        scores: [B,U] float64, natural scale; 0 where `mask` is False, nan for the mean or largest of no token.
        layer_scores: [B,L,U] float64, unit: the explained scalar's.
        mask: [B,U] bool, True at units; inputs have different numbers of them.
        rest: [B] float64, sum of the scores of tokens in no unit, such as special tokens beside words.
        layer_rest: [B,L] float64, the same of the layers.
    """

    attribution: Attribution
    kind: str
    how: str
    units: tuple[tuple[Unit, ...], ...]
    scores: Tensor
    layer_scores: Tensor
    mask: Tensor
    rest: Tensor
    layer_rest: Tensor

    def top(self, k: int = 5) -> tuple[tuple[Ranked, ...], ...]:
        """The k units of every input with the largest magnitude, strongest first; special tokens are left out.

        Args:
            k: how many, at least 1; an input with fewer gives all. Scores that are nan are left out.

        Raises:
            TypeError: no int.
            ValueError: below 1.
        """
        k = integer("k", k, 1)
        return tuple(self.row_top(b, k) for b in range(len(self.units)))

    def row_top(self, index: int, k: int = 5) -> tuple[Ranked, ...]:
        """The same of one input.

        Raises:
            TypeError: no int.
            ValueError: `k` below 1.
            IndexError: no such input.
        """
        index, k = position("index", index, len(self.units)), integer("k", k, 1)
        units = self.units[index]
        return _strongest(units, self.scores[index, : len(units)], k)

    def to_html(self, path: str | Path | None = None, title: str | None = None) -> str:
        """A self-contained HTML page of every input; written to `path` when given, and returned.

        Args:
            path: the file, or None.
            title: of the page, None for the usual one.

        Raises:
            TypeError, ValueError: `path` is not the name of a file, or `title` no text.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        text: str = render("page", self, as_title(title))
        if path is not None:
            files.write(path, text)
        return text

    def print(self, console: Console | None = None) -> None:
        """Print every input in the terminal.

        Args:
            console: where to print; standard output by default.
        """
        render("terminal", self, console)

    def __repr__(self) -> str:
        text: str = render("table", self)
        return text

    def _repr_html_(self) -> str:
        text: str = render("table_html", self)
        return text

    def _grouped(self) -> Grouped:
        return self


def group(a: Attribution, by: By | None, how: str = "sum") -> Grouped:
    """The scores of the units of every input.

    Args:
        a: of texts or images.
        by: "token", "word", "sentence", "patch", or spans of characters; None for words of texts, patches of images.
        how: "sum", "mean", "max" or "absmax".

    Raises:
        ValueError: an unknown unit or `how`, a unit that these inputs do not have, or spans that cannot be.
        TypeError: `by` is no name and no spans.
    """
    how = choice("how", how, HOW)
    kind, units = units_of(a, by)
    widest = max(map(len, units), default=0)
    layers = a.layer_scores.shape[1]
    values = torch.zeros(a.batch, 1 + layers, widest, dtype=torch.float64)
    rest = torch.zeros(a.batch, 1 + layers, dtype=torch.float64)
    mask = torch.zeros(a.batch, widest, dtype=torch.bool)
    for b, own_units in enumerate(units):
        table = table_of(a, b)
        values[b, :, : len(own_units)] = combined(table, own_units, how)
        rest[b] = table[:, _outside(a, b, own_units)].sum(1)
        mask[b, : len(own_units)] = True
    return Grouped(a, kind, how, units, values[:, 0], values[:, 1:], mask, rest[:, 0], rest[:, 1:])


def strongest(a: Attribution, index: int, kind: str, k: int) -> tuple[Ranked, ...]:
    """The k strongest units of one input, without those of the others."""
    units = named_units(a, index, kind)
    return _strongest(units, combined(table_of(a, index)[:1], units, "sum")[0], k)


def table_of(a: Attribution, index: int) -> Tensor:
    """[1+L,T] float64 on the CPU: the scores of the tokens of one input, then those of its layers."""
    return torch.cat([a.scores[index : index + 1], a.layer_scores[index]]).detach().double().cpu()


def combined(table: Tensor, units: Sequence[Unit], how: str) -> Tensor:
    """[R,U] of a table [R,T] of tokens."""
    sizes = torch.tensor([len(u.tokens) for u in units], dtype=torch.int64)
    token = torch.tensor([t for u in units for t in u.tokens], dtype=torch.int64)
    values = table[:, token]
    unit = torch.repeat_interleave(torch.arange(len(units)), sizes).expand(len(table), -1)
    made = table.new_zeros(len(table), len(units))
    if how in {"sum", "mean"}:
        made.scatter_add_(1, unit, values)
        return made if how == "sum" else made / sizes
    high = made.fill_(-torch.inf).scatter_reduce(1, unit, values, "amax")
    if how == "absmax":
        low = torch.full_like(made, torch.inf).scatter_reduce(1, unit, values, "amin")
        high = torch.where(high >= -low, high, low)
    return high.masked_fill(sizes == 0, torch.nan)


def _outside(a: Attribution, index: int, units: Sequence[Unit]) -> list[int]:
    inside = {t for u in units for t in u.tokens}
    return [t for t in a.mask[index].nonzero().flatten().tolist() if t not in inside]


def _strongest(units: Sequence[Unit], scores: Tensor, k: int) -> tuple[Ranked, ...]:
    size = scores.abs()
    plain = torch.tensor([not u.special for u in units], dtype=torch.bool)
    size = torch.where(plain & ~torch.isnan(size), size, -1.0)
    order: list[int] = size.argsort(descending=True, stable=True)[:k].tolist()
    values: Any = scores.tolist()
    return tuple(
        Ranked(units[i].text, values[i], (values[i] > 0) - (values[i] < 0), units[i]) for i in order if size[i] >= 0
    )
