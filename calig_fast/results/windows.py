"""Sliding windows of long texts, and the attribution of a text that the attributions of its windows make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .attribution import Attribution
from .statement import incomplete
from .tokens import Text


@dataclass(frozen=True)
class Windows:
    """The windows of some texts; a short text has one window, the text itself.

    Args:
        owners: the text of each window.
        places: for every window the place of each of its tokens in the whole text, padding left out.
        texts: the whole texts.
        special: for every text its special tokens.
        tokens: tokens of the longest window.
        stride: tokens that a window shares with the one before it.
    """

    owners: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    texts: tuple[Text, ...]
    special: tuple[tuple[bool, ...], ...]
    tokens: int
    stride: int

    @property
    def most(self) -> int:
        """The windows of the text that has the most of them."""
        return max(Counter(self.owners).values())

    def of(self, text: int) -> list[int]:
        """The numbers of the windows of a text."""
        return [w for w, owner in enumerate(self.owners) if owner == text]

    def names(self, window: int) -> tuple[str, ...]:
        """The tokens of a window."""
        return tuple(self.texts[self.owners[window]].tokens[t] for t in self.places[window])

    def special_of(self, window: int) -> list[bool]:
        """The special tokens of a window."""
        return [self.special[self.owners[window]][t] for t in self.places[window]]


def merged(of_windows: Attribution, windows: Windows, tolerance: float | None) -> Attribution:
    """One attribution of each text, from the attribution of its windows.

    The scalar of a text of W windows is F = 1/W sum_w F_w, so r_l = 1/W sum_w r_l,w exactly, every token at its place
    in the text: gap, delta and logits are means. `scores` are defined as the same mean. See `sum_error` for the
    error, and `bypassed` for the bypass.

    Args:
        of_windows: rows of the windows in their order, those of several targets side by side.
        windows: the windows.
        tolerance: relative error that counts as converged.

    Returns:
        rows of the texts, those of several targets side by side; no context maps.
    """
    each = of_windows.batch // len(windows.owners)
    before, after = _added(of_windows, windows)
    longest = max(map(len, windows.special)) + before + after
    rows, mask, special, texts = [], [], [], []
    for number, text in enumerate(windows.texts):
        own = windows.of(number)
        flags = torch.tensor([True] * before + list(windows.special[number]) + [True] * after)
        padding = (0, longest - len(flags))
        mask += [torch.nn.functional.pad(torch.ones_like(flags), padding)] * each
        special += [torch.nn.functional.pad(flags, padding)] * each
        texts += [replace(text.with_added(before, after), windows=len(own))] * each
        last = len(flags) - after
        places = [
            torch.tensor([*range(before), *(t + before for t in windows.places[w]), *range(last, len(flags))])
            for w in own
        ]
        rows += [_row(of_windows, [w * each + k for w in own], places, longest, tolerance) for k in range(each)]
    numbers = torch.arange(len(windows.texts)).repeat_interleave(each)
    tensors: dict[str, Any] = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return replace(
        of_windows,
        **tensors,
        mask=torch.stack(mask),
        special=torch.stack(special),
        texts=tuple(texts),
        source=None if of_windows.source is None else numbers,
        maps=None,
        settings=replace(
            of_windows.settings, tolerance=tolerance, windows={"tokens": windows.tokens, "stride": windows.stride}
        ),
    )


def sum_error(error: Tensor, size: Tensor, whole: Tensor) -> Tensor:
    """Relative error of a sum r = sum_w r_w of vectors that may overlap.

    |error of r| <= sum_w |error of r_w|, so relative to r it is at most sum_w e_w |r_w| / |r|. Parts that cancel each
    other make it large.

    Args:
        error: [W,...], e_w, relative to |r_w|.
        size: [W,...], |r_w|.
        whole: [...], |r|.
    """
    missed = torch.where(error.isinf(), error, error * size).sum(0)
    return torch.where((missed == 0) & (whole == 0), error.amax(0), missed / whole)


def bypassed(bypass: Tensor, gap: Tensor) -> Tensor:
    """The share of a text's gap that passes the layers by, at most sum_w |b_w gap_w| / |sum_w gap_w|.

    The parts of two windows do not cancel each other. The sign is that of the share itself.

    Args:
        bypass: [W,...], b_w.
        gap: [W,...].
    """
    passed = torch.where(bypass.isinf(), bypass, bypass * gap)
    size, total = passed.abs().sum(0), gap.sum(0)
    sign = torch.where(passed.sum(0) * total < 0, -1.0, 1.0)
    return torch.where(size == 0, 0.0, sign * size / total.abs())


def _added(of_windows: Attribution, windows: Windows) -> tuple[int, int]:
    """The tokens that the model itself puts before and after every window."""
    seen, read = () if of_windows.texts is None else of_windows.texts[0].tokens, windows.names(0)
    added = len(seen) - len(read)
    before = next(n for n in range(added + 1) if seen[n : n + len(read)] == read)
    return before, added - before


def _row(
    of_windows: Attribution, rows: list[int], places: list[Tensor], longest: int, tolerance: float | None
) -> dict[str, Tensor]:
    """The tensors of one text and target."""
    count = len(rows)
    scores, layer_scores = of_windows.scores[rows].double(), of_windows.layer_scores[rows].double()
    whole = torch.zeros(longest, dtype=torch.float64)
    layers = torch.zeros(layer_scores.shape[1], longest, dtype=torch.float64)
    for w, row in enumerate(rows):
        real = of_windows.mask[row].nonzero().flatten()
        whole[places[w]] += scores[w, real]
        layers[:, places[w]] += layer_scores[w][:, real]
    gap, bypass = of_windows.gap[rows].double(), None if of_windows.bypass is None else of_windows.bypass[rows].double()
    error = sum_error(of_windows.error[rows].double(), layer_scores.norm(dim=2), layers.norm(dim=1))
    score_error = sum_error(of_windows.score_error[rows].double(), scores.norm(dim=1), whole.norm())
    share = None if bypass is None else bypassed(bypass, gap)
    fine = of_windows.layer_converged[rows].all(0)
    if tolerance is not None:
        past = incomplete(torch.zeros_like(error) if share is None else share, tolerance)
        fine = torch.where(error.isnan(), fine, (error <= tolerance) & ~past)
    out = {
        "scores": (whole / count).float(),
        "layer_scores": (layers / count).float(),
        "gap": gap.mean(0).float(),
        "convergence_delta": of_windows.convergence_delta[rows].double().mean(0).float(),
        "error": error.float(),
        "score_error": score_error.float(),
        "n_steps": of_windows.n_steps[rows].sum(0),
        "layer_converged": fine,
        "logits": of_windows.logits[rows].double().mean(0).float(),
    }
    if of_windows.ends is not None:
        out["ends"] = torch.where(fine, 0, of_windows.ends[rows].amax(0))
    if of_windows.target is not None:
        out["target"] = of_windows.target[rows[0]]
    return out if share is None else {**out, "bypass": share.float()}
