"""The data of one input that every view shows: classes, words or patches with their scores, layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from .._utils.arguments import position
from ..results.attribution import Attribution
from ..results.probabilities import probabilities
from ..results.tokens import Grid, Text
from .colours import PERCENTILE, normalise, robust_scale

Floats = NDArray[np.float64]

# Control characters could move a terminal's cursor, bidirectional overrides could reorder what stands around a word,
# and a lone surrogate cannot be written as UTF-8: all are shown as what they are.
_CONTROLS = {c: 0x2400 + c for c in range(0x20) if chr(c) not in "\t\n"} | {0x7F: 0x2421}
_HIDDEN = [*range(0x80, 0xA0), 0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE: dict[int, str | int] = {
    **_CONTROLS,
    **{c: f"<U+{c:04X}>" for c in _HIDDEN},
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}


@dataclass(frozen=True)
class ClassScore:
    """A class with its probability, see `Attribution.probabilities`, and its logit."""

    name: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Layer:
    """One block's numbers: `index` counts the model's blocks; `converged` is None where nothing was integrated."""

    index: int
    total: float
    gap: float
    delta: float
    error: float
    n_steps: int
    converged: bool | None


@dataclass(frozen=True)
class Segment:
    """A stretch of the text: word number `unit`, or the text between words (None)."""

    text: str
    unit: int | None


@dataclass(frozen=True, eq=False)
class Summary:
    """One input as the views show it. Row 0 of the value tables is `scores`, row 1 + l is `layer_scores` of block l.

    Args:
        target: name of the explained class or scalar.
        predicted: the most likely class, or None where the model returned no logits, one alone, or values of a
            regression.
        explained: the classes of the target with their probabilities (two for a contrast, none for an own output).
        units: words (or patches, or tokens where the words are not known), special tokens left out.
        values: [1+L,N] scores of the units.
        scales: [1+L] magnitude shown at full colour; the blocks share one, so that they compare.
        apart: special tokens, and tokens that belong to no word.
        apart_values: [1+L,K] their scores.
        segments: the text in reading order, empty for images.
        members: positions of the tokens of each unit.
        outside: positions of the tokens of `apart`.
        pieces: per unit its tokens; empty for images.
        piece_values: [1+L,T] scores of all tokens, indexed by `pieces`.
        layers: one `Layer` per block.
        converged: True if every layer met the tolerance, None where nothing was integrated.
        statement: the same in a sentence.
        truncated: tokens the model did not read.
    """

    target: str
    predicted: ClassScore | None
    explained: tuple[ClassScore, ...]
    units: tuple[str, ...]
    values: Floats
    scales: tuple[float, ...]
    apart: tuple[str, ...]
    apart_values: Floats
    segments: tuple[Segment, ...]
    members: tuple[tuple[int, ...], ...]
    outside: tuple[int, ...]
    pieces: tuple[tuple[tuple[str, int], ...], ...]
    piece_values: Floats
    layers: tuple[Layer, ...]
    converged: bool | None
    statement: str
    truncated: int

    @property
    def rows(self) -> tuple[str, ...]:
        """[1+L] names of the rows of the value tables: the final scores, and the blocks."""
        blocks = tuple(f"block {layer.index}" for layer in self.layers)
        if not blocks:
            return ("scores",)
        if np.array_equal(self.piece_values[0], self.piece_values[-1]):
            return (f"scores, of {blocks[-1]}", *blocks)
        return ("all layers fused", *blocks)

    def strongest(self, row: int, count: int) -> tuple[list[int], list[int]]:
        """Numbers of the `count` most supporting and the `count` most opposing units, strongest first."""
        values = np.nan_to_num(self.values[row])
        order = np.argsort(-values, kind="stable")
        return [int(i) for i in order if values[i] > 0][:count], [int(i) for i in order[::-1] if values[i] < 0][:count]


def summarise(attribution: Attribution, index: int, percentile: float = PERCENTILE) -> Summary:
    """Collect the data of one input for the views.

    Args:
        attribution: of texts or images.
        index: which input.
        percentile: of the scores' magnitudes, drawn at full colour.

    Raises:
        IndexError: no such input.
        TypeError: no int.
    """
    index = position("index", index, attribution.batch)
    table = torch.cat([attribution.scores[index : index + 1], attribution.layer_scores[index]]).double().cpu().numpy()
    special = (attribution.special[index] & attribution.mask[index]).cpu().tolist()
    mask = attribution.mask[index].cpu().tolist()
    text = None if attribution.texts is None else attribution.texts[index]
    names, members, segments = _units(attribution, text, [t for t, real in enumerate(mask) if real and not special[t]])
    inside = {t for tokens in members for t in tokens}
    outside = [t for t, real in enumerate(mask) if real and t not in inside]
    sums = [table[:, list(m)].sum(axis=1) for m in members]
    values = np.stack(sums, axis=1) if sums else np.zeros((len(table), 0))
    classes, values_alone = _classes(attribution, index), attribution.settings.returns == "values"
    wanted = [] if attribution.target is None else attribution.target[index].reshape(-1).tolist()
    explained = tuple(classes[c] for c in wanted if c < len(classes))
    layers = _layers(attribution, index)
    shared = float(np.median([robust_scale(row, percentile) for row in values[1:]])) if len(values) > 1 else 1.0
    return Summary(
        target=" - ".join(c.name for c in explained) or visible(attribution.label(index)),
        predicted=max(classes, key=lambda c: c.logit) if len(classes) > 1 and not values_alone else None,
        explained=explained,
        units=names,
        values=values,
        scales=(robust_scale(values[0], percentile), *[shared] * len(layers)),
        apart=tuple(_token(text, t) if attribution.grid is None else _apart(attribution.grid, t) for t in outside),
        apart_values=table[:, outside],
        segments=segments,
        members=tuple(members),
        outside=tuple(outside),
        pieces=() if text is None else tuple(tuple((_token(text, t), t) for t in tokens) for tokens in members),
        piece_values=table,
        layers=layers,
        converged=bool(attribution.converged[index]) if any(x.converged is not None for x in layers) else None,
        statement=visible(attribution.statement(index)),
        truncated=0 if text is None else text.truncated,
    )


@dataclass(frozen=True, eq=False)
class Strongest:
    """The units that any of several explanations ranks highest.

    Args:
        units: [K] their numbers, in reading order.
        values: [E,K] scores by each explanation.
        levels: [E,K] the same over each one's scale, in [-1, 1].
    """

    units: list[int]
    values: list[list[float]]
    levels: list[list[float]]


def strongest_of(summaries: list[Summary], count: int) -> Strongest:
    """The `count` units that are strongest in any of the explanations of one input, each by its own scale."""
    values = np.stack([np.nan_to_num(s.values[0]) for s in summaries])
    levels = np.stack([normalise(s.values[0], s.scales[0]) for s in summaries])
    chosen = np.sort(np.argsort(-np.abs(levels).max(axis=0), kind="stable")[:count])
    return Strongest(chosen.tolist(), values[:, chosen].tolist(), levels[:, chosen].tolist())


def visible(text: str) -> str:
    """The text with control characters and direction overrides made visible; tabs and line ends stay."""
    return text.translate(_VISIBLE)


def signed(value: float) -> str:
    """A score with its sign and three digits; a dash for a missing score."""
    return f"{value:+.3g}" if math.isfinite(value) else "-"


def percent(value: float) -> str:
    """A probability in per cent."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "-"


def _token(text: Text | None, position: int) -> str:
    if text is None or position >= len(text.tokens):
        return f"token {position}"
    return visible(text.tokens[position])


def _apart(grid: Grid, position: int) -> str:
    """The name of a token that is no patch."""
    after = position - grid.patches.stop
    return f"prefix token {position}" if after < 0 else f"suffix token {after}"


def _units(
    attribution: Attribution, text: Text | None, plain: list[int]
) -> tuple[tuple[str, ...], list[tuple[int, ...]], tuple[Segment, ...]]:
    """Names of the units, the tokens of each, and the text around them."""
    if text is not None:
        names = tuple(visible(w.text) for w in text.words)
        return names, [w.tokens for w in text.words], _segments(text)
    if attribution.grid is not None:
        grid = attribution.grid
        names = tuple(f"row {r}, column {c}" for r in range(grid.rows) for c in range(grid.columns))
        return names, [(grid.prefix + i,) for i in range(len(names))], ()
    names = tuple(f"token {t}" for t in plain)
    return names, [(t,) for t in plain], _joined(names)


def _segments(text: Text) -> tuple[Segment, ...]:
    bounds = [0, *(place for w in text.words for place in (w.start, w.end))]
    known = text.text is not None and all(0 <= a <= b <= len(text.text) for a, b in pairwise(bounds))
    if text.text is None or not known:
        return _joined(tuple(visible(w.text) for w in text.words))
    out: list[Segment] = []
    for number, (word, before) in enumerate(zip(text.words, bounds[::2], strict=False)):
        out += [Segment(visible(text.text[before : word.start]), None)] if word.start > before else []
        out.append(Segment(visible(text.text[word.start : word.end]), number))
    rest = text.text[bounds[-1] :]
    return (*out, Segment(visible(rest), None)) if rest else tuple(out)


def _joined(words: tuple[str, ...]) -> tuple[Segment, ...]:
    return tuple(s for i, w in enumerate(words) for s in ([Segment(" ", None)] if i else []) + [Segment(w, i)])


def _classes(attribution: Attribution, index: int) -> list[ClassScore]:
    logits = attribution.logits[index]
    settings = attribution.settings
    chances = probabilities(logits, settings.multi_label, settings.returns)  # of this input alone
    names = attribution.labels or ()
    return [
        ClassScore(visible(names[i]) if i < len(names) else f"class {i}", float(chances[i]), float(logits[i]))
        for i in range(logits.numel())
    ]


def _layers(attribution: Attribution, index: int) -> tuple[Layer, ...]:
    real = attribution.mask[index]
    return tuple(
        Layer(
            index=attribution.block(layer),
            total=float(attribution.layer_scores[index, layer][real].double().sum()),
            gap=float(attribution.gap[index, layer]),
            delta=float(attribution.convergence_delta[index, layer]),
            error=float(attribution.error[index, layer]),
            n_steps=int(attribution.n_steps[index, layer]),
            converged=None
            if bool(torch.isnan(attribution.error[index, layer]))
            else bool(attribution.layer_converged[index, layer]),
        )
        for layer in range(attribution.layer_scores.shape[1])
    )
