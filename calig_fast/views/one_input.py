"""The data of one input that every view shows: classes, words or patches with their scores, layers."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from .._utils.arguments import position
from ..results.attribution import Attribution
from ..results.grouping import Grouped
from ..results.probabilities import probabilities
from ..results.tokens import Text, Word
from ..results.units import Unit, token_names, usual
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
    """One block's numbers: `index` counts the model's blocks.

    `converged` is None where nothing was integrated, and where the tolerance was asked of the scores alone.
    """

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


@dataclass(frozen=True)
class Occurrences:
    """A word with all its places.

    Args:
        name: as written at the first place.
        units: numbers of the units, strongest first.
        score: sum of their scores.
    """

    name: str
    units: tuple[int, ...]
    score: float


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
        converged: `Attribution.converged`, None where nothing was integrated.
        state: the same in a few words, with the part that was asked for.
        statement: the same in a sentence.
        truncated: tokens the model did not read.
        unit: kind of the units: "word", "patch", "token", "sentence" or "span".
        how: the way in which a unit's score is made of those of its tokens: "sum", "mean", "max" or "absmax".
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
    state: str
    statement: str
    truncated: int
    unit: str = "word"
    how: str = "sum"

    @property
    def rows(self) -> tuple[str, ...]:
        """[1+L] names of the rows of the value tables: the final scores, and the blocks."""
        blocks = tuple(f"block {layer.index}" for layer in self.layers)
        if not blocks:
            return ("scores",)
        if np.array_equal(self.piece_values[0], self.piece_values[-1]):
            return (f"scores, of {blocks[-1]}", *blocks)
        return ("all layers fused", *blocks)

    @property
    def note(self) -> str:
        """The way in which scores were brought together, where it is not the usual one of words; "" for tokens."""
        usual = self.unit == "word" and self.how == "sum"
        return "" if usual or self.unit in {"token", "patch"} else f"Each {self.unit} has the {self.how} of its tokens."

    def strongest(self, row: int, count: int) -> tuple[list[int], list[int]]:
        """Numbers of the `count` most supporting and the `count` most opposing units, strongest first."""
        values = np.nan_to_num(self.values[row])
        order = np.argsort(-values, kind="stable")
        return [int(i) for i in order if values[i] > 0][:count], [int(i) for i in order[::-1] if values[i] < 0][:count]

    def words(self, row: int, count: int) -> tuple[list[Occurrences], list[Occurrences]]:
        """The `count` most supporting and the `count` most opposing words, strongest first.

        The places of a word, whatever its case, are taken together: their scores are added up.
        """
        values = np.nan_to_num(self.values[row])
        places: dict[str, list[int]] = {}
        for i, name in enumerate(self.units):
            places.setdefault(name.casefold(), []).append(i)
        words = [
            Occurrences(self.units[p[0]], tuple(sorted(p, key=lambda i: -abs(values[i]))), float(values[p].sum()))
            for p in places.values()
        ]
        words.sort(key=lambda w: -w.score)
        return [w for w in words if w.score > 0][:count], [w for w in words[::-1] if w.score < 0][:count]


def summarise(shown: Attribution | Grouped, index: int, percentile: float = PERCENTILE) -> Summary:
    """Collect the data of one input for the views.

    Args:
        shown: an explanation of texts or images, or its scores by other units.
        index: which input.
        percentile: of the scores' magnitudes, drawn at full colour.

    Raises:
        IndexError: no such input.
        TypeError: no int.
    """
    attribution, grouped = parts(shown)
    index = position("index", index, attribution.batch)
    table = torch.cat([attribution.scores[index : index + 1], attribution.layer_scores[index]]).double().cpu().numpy()
    special = (attribution.special[index] & attribution.mask[index]).cpu().tolist()
    mask = attribution.mask[index].cpu().tolist()
    text = None if attribution.texts is None else attribution.texts[index]
    if grouped is None:
        plain = [t for t, real in enumerate(mask) if real and not special[t]]
        names, members, segments = _units(attribution, text, plain)
    else:
        units = [u for u in grouped.units[index] if not u.special]
        names, members = tuple(visible(u.text) for u in units), [u.tokens for u in units]
        segments = _segments(None if text is None else text.text, units)
    inside = {t for tokens in members for t in tokens}
    outside = [t for t, real in enumerate(mask) if real and t not in inside]
    tokens = token_names(attribution, index)
    values = _sums(table, members) if grouped is None else _values(grouped, index)
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
        apart=tuple(visible(tokens[t]) for t in outside),
        apart_values=table[:, outside],
        segments=segments,
        members=tuple(members),
        outside=tuple(outside),
        pieces=() if text is None else _pieces(members, tokens),
        piece_values=table,
        layers=layers,
        converged=bool(attribution.converged[index]) if any(not math.isnan(x.error) for x in layers) else None,
        state=_state(attribution, index),
        statement=visible(attribution.statement(index)),
        truncated=0 if text is None else text.truncated,
        unit=usual(attribution) if grouped is None else grouped.kind,
        how="sum" if grouped is None else grouped.how,
    )


def _pieces(members: Sequence[tuple[int, ...]], names: dict[int, str]) -> tuple[tuple[tuple[str, int], ...], ...]:
    return tuple(tuple((visible(names.get(t, f"token {t}")), t) for t in tokens) for tokens in members)


def parts(shown: Attribution | Grouped) -> tuple[Attribution, Grouped | None]:
    """The explanation, and its scores by other units where these are shown; a patch is one token in each way."""
    if isinstance(shown, Grouped):
        return shown.attribution, None if shown.attribution.grid is not None else shown
    return shown, None


def _sums(table: Floats, members: Sequence[tuple[int, ...]]) -> Floats:
    sums = [table[:, list(m)].sum(axis=1) for m in members]
    return np.stack(sums, axis=1) if sums else np.zeros((len(table), 0))


def _values(grouped: Grouped, index: int) -> Floats:
    """[1+L,N] scores of the units without special tokens."""
    plain = [n for n, unit in enumerate(grouped.units[index]) if not unit.special]
    rows = torch.cat([grouped.scores[index : index + 1], grouped.layer_scores[index]])
    scores: Floats = rows[:, plain].numpy()
    return scores


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


def leftwards(text: str) -> bool:
    """The text reads from right to left: so does its first letter with a direction, as browsers decide (UAX 9)."""
    for character in text:
        if (direction := unicodedata.bidirectional(character)) in {"L", "R", "AL"}:
            return direction != "L"
    return False


def signed(value: float) -> str:
    """A score with its sign and three digits; a dash for a missing score."""
    return f"{value:+.3g}" if math.isfinite(value) else "-"


def percent(value: float) -> str:
    """A probability in per cent."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "-"


def _units(
    attribution: Attribution, text: Text | None, plain: list[int]
) -> tuple[tuple[str, ...], list[tuple[int, ...]], tuple[Segment, ...]]:
    """Names of the units, the tokens of each, and the text around them."""
    if text is not None:
        names = tuple(visible(w.text) for w in text.words)
        return names, [w.tokens for w in text.words], _segments(text.text, text.words)
    if attribution.grid is not None:
        grid = attribution.grid
        names = tuple(f"row {r}, column {c}" for r in range(grid.rows) for c in range(grid.columns))
        return names, [(grid.prefix + i,) for i in range(len(names))], ()
    names = tuple(f"token {t}" for t in plain)
    return names, [(t,) for t in plain], _joined(names)


def _segments(text: str | None, words: Sequence[Word | Unit]) -> tuple[Segment, ...]:
    bounds = [0, *(place for w in words for place in (w.start, w.end))]
    known = text is not None and all(0 <= a <= b <= len(text) for a, b in pairwise(bounds))
    if text is None or not known:
        return _joined(tuple(visible(w.text) for w in words))
    out: list[Segment] = []
    for number, (word, before) in enumerate(zip(words, bounds[::2], strict=False)):
        out += [Segment(visible(text[before : word.start]), None)] if word.start > before else []
        out.append(Segment(visible(text[word.start : word.end]), number))
    rest = text[bounds[-1] :]
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


_STATES = {"scores": ("scores converged", "scores not converged"), "top-k": ("ranking decided", "ranking not decided")}


def _state(attribution: Attribution, index: int) -> str:
    """The convergence in a few words."""
    if bool(attribution.error[index].isnan().all()):
        return "nothing integrated"
    yes, no = _STATES.get(attribution.settings.certify or "", ("converged", "not converged"))
    if not bool(attribution.converged[index]):
        return no
    return yes if bool(attribution.layer_converged[index].all()) else f"{yes}; layers not asked"


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
            converged=_met(attribution, index, layer),
        )
        for layer in range(attribution.layer_scores.shape[1])
    )


def _met(attribution: Attribution, index: int, layer: int) -> bool | None:
    """The layer met the tolerance; None where nothing was integrated, or a miss of the layer was not asked about."""
    if bool(torch.isnan(attribution.error[index, layer])):
        return None
    met = bool(attribution.layer_converged[index, layer])
    return met if met or attribution.settings.certify not in _STATES else None
