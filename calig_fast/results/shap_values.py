"""The arguments of a `shap.Explanation`: values, base values, data and names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._utils.arguments import position
from .._utils.warn import warn
from .probabilities import probabilities

if TYPE_CHECKING:
    from .attribution import Attribution
    from .grouping import Grouped
    from .units import Unit

Array = NDArray[Any]


def arguments(grouped: Grouped, layer: int | None) -> dict[str, Any]:
    """The arguments of `shap.Explanation` for scores of units, or of pixels where there are images.

    Args:
        grouped: from `Attribution.by`.
        layer: None for `scores`, else the row of `layer_scores`.

    Raises:
        IndexError: no such layer.
        TypeError: no int.
    """
    a = grouped.attribution
    if layer is not None:
        layer = position("layer", layer, a.layer_scores.shape[1], "layers")
    scores = grouped.scores if layer is None else grouped.layer_scores[:, layer]
    rows = [row[: len(units)].numpy() for row, units in zip(scores, grouped.units, strict=True)]
    names: Any = [[u.text for u in units] for units in grouped.units]
    labels = [a.label(b) for b in range(a.batch)]
    if a.grid is not None and a.images is not None and grouped.kind in {"patch", "token"}:
        values, data, names = _pixels(a, rows, grouped.units), a.images.cpu().numpy(), None
    else:
        values, data = _ragged(rows), _ragged([np.array(_data(grouped, b), dtype=object) for b in range(a.batch)])
    totals = np.array([float(np.sum(v)) for v in values])
    return {
        "values": values,
        "base_values": _base(grouped, layer, totals),
        "data": data,
        "feature_names": names,
        "output_names": labels[0] if len(set(labels)) == 1 else None,
        "instance_names": labels,
    }


def _data(grouped: Grouped, index: int) -> list[str]:
    """The text of each unit; words and longer units with what follows them, so that a plot shows the text as it is."""
    a, units = grouped.attribution, grouped.units[index]
    text = None if a.texts is None else a.texts[index].text
    starts = [u.start for u in units]
    in_order = bool(units) and starts[0] >= 0 and all(x < y for x, y in pairwise(starts))
    if text is None or not in_order or grouped.kind not in {"word", "sentence"}:
        spaced = grouped.kind in {"word", "sentence"}
        return [f"{u.text} " if spaced else u.text for u in units]
    ends = [*starts[1:], len(text)]
    return [u.text + text[u.end : following] for u, following in zip(units, ends, strict=True)]


def _ragged(rows: Sequence[Array]) -> Array:
    """[B,T] of rows of one length, else [B] of rows."""
    if not rows:
        return np.zeros((0, 0))
    if len({len(row) for row in rows}) == 1:
        return np.stack(rows)
    out = np.empty(len(rows), dtype=object)
    for b, row in enumerate(rows):
        out[b] = row
    return out


def _pixels(a: Attribution, rows: Sequence[Array], units: Sequence[Sequence[Unit]]) -> Array:
    """[B,H,W,3] float64: each pixel and colour an equal share of its patch's score; 0 where no patch lies."""
    assert a.grid is not None
    assert a.images is not None
    grid, (count, height, width, colours) = a.grid, a.images.shape
    tall, wide = grid.height or -(-height // grid.rows), grid.width or -(-width // grid.columns)
    across, down = np.arange(width) // wide, np.arange(height) // tall
    inside = np.outer(down < grid.rows, across < grid.columns)
    place = np.where(inside, np.add.outer(down * grid.columns, across), grid.rows * grid.columns)
    sizes = np.bincount(place.reshape(-1), minlength=grid.rows * grid.columns + 1) * colours
    out = np.zeros((count, height, width, colours))
    for b, row in enumerate(rows):
        scores = np.zeros(grid.rows * grid.columns + 1)
        for unit, score in zip(units[b], row.tolist(), strict=True):
            if unit.place is not None:
                scores[unit.place[0] * grid.columns + unit.place[1]] = score
        out[b] = (scores / np.maximum(sizes, 1))[place][..., None]
    return out


def _base(grouped: Grouped, layer: int | None, totals: Array) -> Array:
    """[B] F(x'), where the values add up to F(x) - F(x'); else F(x) less their sum."""
    a = grouped.attribution
    base_values, short = np.zeros(a.batch), 0
    for b, total in enumerate(totals.tolist()):
        row, output = _complete(grouped, b, layer), _output(a, b)
        gap = None if row is None else _covered(a, b, row, total)
        short += gap is None
        base_values[b] = 0.0 if np.isnan(output) else output - (total if gap is None else gap)
    if short:
        warn(
            f"to_shap: these values do not add up to F(x) - F(x') in {short} of {a.batch} inputs ({a.method}, "
            f"{grouped.how} by {grouped.kind}), so base_values there are F(x) less their sum, not F(x'); the layer "
            "scores of tokens add up where a method integrates, to_shap(layer=0)"
        )
    return base_values


def _covered(a: Attribution, index: int, row: int, total: float) -> float | None:
    """The gap, where a total is what the scores of the layer add up to; else None."""
    gap, delta = float(a.gap[index, row]), float(a.convergence_delta[index, row])
    slack = 1e-5 * max(1.0, float(a.layer_scores[index, row].abs().sum()))
    return gap if abs(total - gap - delta) <= slack else None


def _complete(grouped: Grouped, index: int, layer: int | None) -> int | None:
    """The row of `layer_scores` that the values are; None where they are none, or units do not add up."""
    a = grouped.attribution
    if grouped.how != "sum":
        return None
    rows = [layer] if layer is not None else range(a.layer_scores.shape[1])
    return next((n for n in rows if layer is not None or torch.equal(a.scores[index], a.layer_scores[index, n])), None)


def _output(a: Attribution, index: int) -> float:
    """F(x) of one input by its logits; nan for an output function of the caller."""
    if a.target is None or not a.logits.shape[1]:
        return float("nan")
    classes: Tensor = a.target[index].reshape(-1)
    kind = a.settings.output or "logit"
    z = a.logits[index].double()
    if kind in {"prob", "log_prob"}:
        z = probabilities(z, a.settings.multi_label, a.settings.returns)
        z = z.log() if kind == "log_prob" else z
    values = z[classes].tolist()
    return float(values[0] - values[1] if len(values) == 2 else values[0])
