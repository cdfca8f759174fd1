"""The data of the page: every probe's looks, thinned where there are many."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .. import Attribution, Grid
from ..views.one_input import Summary, summarise
from ..views.pictures import covered
from .measures import Floats, Look, measure

MOST = 512  # looks kept of a probe; twice as many are thinned to every other one


@dataclass(frozen=True, eq=False)
class Subject:
    """The constant data of a probe.

    Args:
        summary: of the first look, for the text and its words.
        grid: patches of a picture, or None.
        image: the picture [H,W,3] uint8, or None.
        model: its name, "" where it is not known.
    """

    summary: Summary
    grid: Grid | None
    image: NDArray[np.uint8] | None
    model: str


@dataclass
class History:
    """The looks at one probe.

    Args:
        name: of the probe.
        looks: in order of their steps.
        values: of every look the scores of its words, or patches, [N] float32.
    """

    name: str
    looks: list[Look] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    subject: Subject | None = None
    _first: Floats | None = None
    _last: Floats | None = None

    def add(self, step: int, attribution: Attribution, certified: bool) -> Look:
        """Measure an attribution of the probe, and keep it."""
        look, scores = measure(step, self.name, attribution, certified=certified, first=self._first, last=self._last)
        summary = summarise(attribution, 0)
        if self.subject is None:
            picture, model = covered(attribution, 0), attribution.settings.model
            self.subject, self._first = Subject(summary, attribution.grid, picture, model), scores
        self._last = scores
        self.looks.append(look)
        self.values.append(summary.values[0].astype(np.float32))
        if len(self.looks) == 2 * MOST:
            self.looks = self.looks[:-1:2] + self.looks[-1:]
            self.values = self.values[:-1:2] + self.values[-1:]
        return look


def shares_of(values: NDArray[np.float32]) -> Floats:
    """Signed scores over the sum of their sizes, so that looks compare while the logits grow."""
    scores = np.nan_to_num(values.astype(np.float64))
    total = np.abs(scores).sum()
    return scores / total if total > 0 else scores
