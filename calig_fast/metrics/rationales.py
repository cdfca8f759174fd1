"""Scores compared with marked rationales, as in ERASER: token-F1, IOU-F1, AUPRC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .. import Attribution
from .._utils.arguments import as_tensor, between, choice, kind, scalar
from ..inputs import rankings
from .measure import Measure

Spans = Sequence[Sequence[tuple[int, int]]]


@dataclass(frozen=True, eq=False, repr=False)
class F1(Measure):
    """F1 = 2 P R / (P + R) of every input, with its counts; NaN where an input has no rationale.

    Args:
        precision: [B] float64, hits / predicted.
        recall: [B] float64, hits / marked.
        hits: [B] int64, units predicted and marked.
        predicted: [B] int64, units predicted.
        marked: [B] int64, units marked.
    """

    precision: Tensor
    recall: Tensor
    hits: Tensor
    predicted: Tensor
    marked: Tensor

    def micro(self) -> float:
        """F1 of the hits, predictions and marks of all inputs together."""
        return _f1(self.hits.sum() / self.predicted.sum(), self.hits.sum() / self.marked.sum()).item()

    def macro(self) -> float:
        """F1 of the mean precision and the mean recall, which is how ERASER averages IOU-F1 (token-F1 is `mean()`)."""
        return _f1(self.precision.nanmean(), self.recall.nanmean()).item()


def token_f1(scores: Any, rationales: Any, *, k: int | float | None = None, mask: Any = None) -> F1:
    """F1 of the k words that score highest against the marked words.

    P = |top_k & marked| / k, R = |top_k & marked| / |marked|. DeYoung et al. 2020 (ERASER), hard predictions.

    Args:
        scores: [B,W] scores of words (see `span_scores`), or an Attribution, for tokens as units.
        rationales: [B,W] bool, marked words.
        k: None, as many as the input's rationale has; an int; or a float, the share of the words, such as the data
            set's `average_ratio`, rounded half up, at least one. Equal scores: the earlier word first.
        mask: [B,W] bool, words that count; None for the content tokens of an Attribution, all of a tensor.

    Returns:
        F1 of every input, NaN where an input has no rationale (ERASER counts 0 there).

    Raises:
        ValueError: rationales or mask of another shape, NaN in the scores, k out of range.
        TypeError: scores, rationales, mask or k of another type.
    """
    predicted, marked, _ = _hard(scores, rationales, k, mask)
    return _scored("token F1", (predicted & marked).sum(1), predicted.sum(1), marked.sum(1))


def token_iou(scores: Any, rationales: Any, *, k: int | float | None = None, mask: Any = None) -> Measure:
    """Words both predicted and marked over words that are either: |top_k & marked| / |top_k | marked|.

    Args:
        scores, rationales, k, mask: see `token_f1`.

    Returns:
        [B], NaN where an input has no rationale.

    Raises:
        ValueError, TypeError: see `token_f1`.
    """
    predicted, marked, _ = _hard(scores, rationales, k, mask)
    values = (predicted & marked).sum(1).double() / (predicted | marked).sum(1)
    return Measure("token IOU", torch.where(marked.any(1), values, torch.nan), higher_is_better=True)


def iou_f1(
    scores: Any, rationales: Any, *, k: int | float | None = None, mask: Any = None, threshold: float = 0.5
) -> F1:
    """F1 of runs of predicted words against runs of marked words.

    The k highest words are predicted; words side by side make one span. A predicted span hits where its largest
    |span & marked span| / |span | marked span| is at least `threshold`; P = hits / predicted spans, R = hits / marked
    spans. DeYoung et al. 2020 (ERASER); the paper's number over a data set is `macro()`.

    Args:
        scores, rationales, k, mask: see `token_f1`.
        threshold: intersection over union that counts as a hit.

    Returns:
        F1 of every input, NaN where an input has no rationale.

    Raises:
        ValueError, TypeError: see `token_f1`; a threshold outside 0 to 1.
    """
    threshold = between("threshold", threshold, "an intersection over union above 0, at most 1", 0, 1, open_low=True)
    predicted, marked, _ = _hard(scores, rationales, k, mask)
    hits, run_counts, wanted = [], [], []
    for p, m in zip(predicted.tolist(), marked.tolist(), strict=True):
        runs, truth = _runs(p), _runs(m)
        best = [max((_iou(run, other) for other in truth), default=0.0) for run in runs]
        hits.append(sum(value >= threshold for value in best))
        run_counts.append(len(runs))
        wanted.append(len(truth))
    return _scored("IOU F1", torch.tensor(hits), torch.tensor(run_counts), torch.tensor(wanted))


def auprc(scores: Any, rationales: Any, *, mask: Any = None) -> Measure:
    """Area under precision against recall as the threshold on the scores decreases, by trapezoids.

    Starts at recall 0 with precision 1; equal scores pass the threshold together. DeYoung et al. 2020 (ERASER), soft
    predictions.

    Args:
        scores, rationales, mask: see `token_f1`.

    Returns:
        [B], NaN where an input has no rationale.

    Raises:
        ValueError, TypeError: see `token_f1`.
    """

    def area(precision: Tensor, recall: Tensor) -> Tensor:
        one, zero = precision.new_ones(1), precision.new_zeros(1)
        return torch.trapezoid(torch.cat([one, precision]), torch.cat([zero, recall]))

    return _soft("AUPRC", area, scores, rationales, mask)


def average_precision(scores: Any, rationales: Any, *, mask: Any = None) -> Measure:
    """Mean precision over the steps of recall, sum_n (R_n - R_{n-1}) P_n, which does not interpolate as `auprc` does.

    Args:
        scores, rationales, mask: see `token_f1`.

    Returns:
        [B], NaN where an input has no rationale.

    Raises:
        ValueError, TypeError: see `token_f1`.
    """

    def mean(precision: Tensor, recall: Tensor) -> Tensor:
        return (torch.diff(recall, prepend=recall.new_zeros(1)) * precision).sum()

    return _soft("average precision", mean, scores, rationales, mask)


def average_ratio(rationales: Any, mask: Any = None) -> float:
    """Mean over the inputs of the share of words that are marked, ERASER's length of hard predictions for a data set.

    Args:
        rationales: [B,W] bool.
        mask: [B,W] bool, words that count; None for all.

    Raises:
        ValueError: rationales that are not [B,W], a mask of another shape.
    """
    marked = as_tensor("rationales", rationales, "bools [B,W]").detach().cpu() != 0
    if marked.dim() != 2:
        raise ValueError(f"rationales: expected [B,W] bools, got {list(marked.shape)}")
    counted = rankings.content(None, mask, marked.shape)
    return float(((marked & counted).sum(1) / counted.sum(1)).mean())


def span_scores(attribution: Attribution, spans: Spans, pool: str = "max") -> tuple[Tensor, Tensor]:
    """Scores of spans of the text, such as its annotated words, from the scores of word pieces.

    A span's score is the maximum (sum, mean) over the pieces of the words that overlap it.

    Args:
        attribution: of texts that were given as text, so that its words know their place in it.
        spans: for every input the spans (start, end) in characters of its text, end excluded.
        pool: "max" (default), "sum" or "mean".

    Returns:
        scores [B,W] float64, zeros where there is none, and mask [B,W] bool, False there: after an input's last span,
        and at spans that the model did not read because the text was cut.

    Raises:
        ValueError: images, ids or pairs of texts, words without a place, another number of inputs, an unknown pool.
    """
    pool = choice("pool", pool, ("max", "sum", "mean"))
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution: expected an Attribution, as explain returns it, got {kind(attribution)}")
    if attribution.texts is None or any(text.text is None for text in attribution.texts):
        raise ValueError("attribution: spans of characters need the text; explain the text itself, with processor=")
    spans = _spans(spans, attribution.batch)
    if any(word.start < 0 for text in attribution.texts for word in text.words):
        raise ValueError(
            "attribution: its words know no place in the text, as the tokenizer keeps none; take a fast tokenizer"
        )
    table = rankings.table(attribution)
    longest = max(map(len, spans), default=0)
    out, mask = (
        torch.zeros(len(spans), longest, dtype=torch.float64),
        torch.zeros(len(spans), longest, dtype=torch.bool),
    )
    for b, (text, wanted) in enumerate(zip(attribution.texts, spans, strict=True)):
        for w, (start, end) in enumerate(wanted):
            pieces = [t for word in text.words if word.start < end and start < word.end for t in word.tokens]
            if pieces:
                scores = table[b, pieces]
                out[b, w] = scores.amax() if pool == "max" else scores.sum() if pool == "sum" else scores.mean()
                mask[b, w] = True
    return out, mask


def _spans(given: Any, batch: int) -> list[list[tuple[int, int]]]:
    """Of every input its (start, end)."""
    wanted = f"spans: expected those of {batch} inputs, for each a list of (start, end) in characters"
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{wanted}, got {kind(given)}")
    if len(given) != batch:
        raise ValueError(f"{wanted}, got {len(given)}")
    spans = []
    for row in given:
        if isinstance(row, str) or not isinstance(row, Sequence):
            raise TypeError(f"{wanted}, got {kind(row)} for one input")
        pairs = [tuple(map(scalar, one)) if isinstance(one, Sequence) and len(one) == 2 else () for one in row]
        for one, pair in zip(row, pairs, strict=True):
            if len(pair) != 2 or any(isinstance(i, bool) or not isinstance(i, Integral) for i in pair):
                raise TypeError(f"{wanted}, got {kind(one)} for a span")
        spans.append([(int(start), int(end)) for start, end in pairs])
    return spans


def _marked(scores: Any, rationales: Any, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, marks and counted words, each [B,W]."""
    table = rankings.table(scores)
    counted = rankings.content(scores, mask, table.shape)
    return table, rankings.flags(rationales, table.shape, "rationales") & counted, counted


def _hard(scores: Any, rationales: Any, k: int | float | None, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    """[B,W] bools: the predicted words, the marked words, the counted words."""
    table, marked, counted = _marked(scores, rationales, mask)
    size = marked.sum(1) if k is None else rankings.size(k, counted)
    return rankings.places(table, counted) < size[:, None], marked, counted


def _f1(precision: Tensor, recall: Tensor) -> Tensor:
    both = precision + recall
    return torch.where(both > 0, 2 * precision * recall / both, torch.where(both == 0, 0.0, torch.nan))


def _scored(name: str, hits: Tensor, predicted: Tensor, marked: Tensor) -> F1:
    some = marked > 0
    precision = torch.where(some & (predicted > 0), hits.double() / predicted, torch.where(some, 0.0, torch.nan))
    recall = torch.where(some, hits.double() / marked, torch.nan)
    return F1(
        name,
        _f1(precision, recall),
        higher_is_better=True,
        precision=precision,
        recall=recall,
        hits=hits,
        predicted=predicted,
        marked=marked,
    )


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """(start, end) of each run of True, end excluded."""
    edges = [i for i, (a, b) in enumerate(zip([False, *flags], [*flags, False], strict=True)) if a != b]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    both = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return both / (a[1] - a[0] + b[1] - b[0] - both)


def _soft(name: str, of: Any, scores: Any, rationales: Any, mask: Any) -> Measure:
    values = []
    for x, marked, counted in zip(*_marked(scores, rationales, mask), strict=True):
        values.append(float(of(*_precision_recall(x[counted], marked[counted]))) if marked.any() else torch.nan)
    return Measure(name, torch.tensor(values, dtype=torch.float64), higher_is_better=True)


def _precision_recall(x: Tensor, marked: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall at every distinct score as threshold, the highest first."""
    order = torch.sort(x, descending=True, stable=True).indices
    hits = marked[order].double().cumsum(0)
    ends = torch.cat([x[order].diff() != 0, torch.ones(1, dtype=torch.bool)])
    predicted = torch.arange(1, len(x) + 1, dtype=torch.float64)
    return (hits / predicted)[ends], (hits / hits[-1])[ends]
