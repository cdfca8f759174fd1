"""An explanation as plain values, for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .. import Attribution
    from ..results.grouping import Grouped


def document(attribution: Attribution, grouped: Grouped | None = None) -> dict[str, Any]:
    """Convert an explanation to plain data, every input with its words or patches and its layers.

    Args:
        attribution: of texts or images.
        grouped: its scores by the units that were asked for.

    Returns:
        `method`, `settings`, `labels` and `inputs`; an input has `target` (class numbers) and `label`, `logits`,
        `converged`, `statement`, `score_error`, `layers` (one a block: `sum`, `gap`, `delta`, `error`, `gradients`,
        `converged`, `scores`), and `scores` of every token; a text also `text`, `truncated`, `windows`, `tokens` and
        `words` (`text`, `score`, `start`, `end`), an image `patches`, its scores row by row. With `grouped` there are
        `by` and `how`, and an input has `units` (`text`, `score`, `start`, `end`, `tokens`).
    """
    a = attribution
    inputs = [_input(a, b) for b in range(a.batch)]
    explanation: dict[str, Any] = {
        "method": a.method,
        "settings": {name: _simple(value) for name, value in a.settings.items()},
        "labels": None if a.labels is None else list(a.labels),
        "inputs": inputs,
    }
    if grouped is not None:
        explanation |= {"by": grouped.kind, "how": grouped.how}
        for b, one in enumerate(inputs):
            one["units"] = _units(grouped, b)
    return explanation


def _units(grouped: Grouped, b: int) -> list[dict[str, Any]]:
    return [
        {"text": unit.text, "score": score, "start": unit.start, "end": unit.end, "tokens": list(unit.tokens)}
        for unit, score in zip(grouped.units[b], grouped.scores[b].tolist(), strict=False)
    ]


def _input(a: Attribution, b: int) -> dict[str, Any]:
    real = a.mask[b]
    entry: dict[str, Any] = {
        "target": None if a.target is None else a.target[b].reshape(-1).tolist(),
        "label": a.label(b),
        "logits": a.logits[b].tolist(),
        "converged": bool(a.converged[b]),
        "statement": a.statement(b),
        "score_error": float(a.score_error[b]),
        "scores": a.scores[b][real].tolist(),
        "layers": [_layer(a, b, layer) for layer in range(a.layer_scores.shape[1])],
    }
    if a.source is not None:
        entry["input"] = int(a.source[b])
    if a.texts is not None:
        text = a.texts[b]
        entry |= {"text": text.text, "truncated": text.truncated, "windows": text.windows, "tokens": list(text.tokens)}
        entry["words"] = [
            {"text": word.text, "score": score, "start": word.start, "end": word.end}
            for word, (_, score) in zip(text.words, a.word_scores(b), strict=True)
        ]
    if a.grid is not None:
        entry["patches"] = a.patch_scores(b).tolist()
    return entry


def _layer(a: Attribution, b: int, layer: int) -> dict[str, Any]:
    scores = a.layer_scores[b, layer][a.mask[b]]
    return {
        "sum": float(scores.sum()),
        "gap": float(a.gap[b, layer]),
        "delta": float(a.convergence_delta[b, layer]),
        "error": float(a.error[b, layer]),
        "gradients": int(a.n_steps[b, layer]),
        "converged": bool(a.layer_converged[b, layer]),
        "scores": scores.tolist(),
    }


def _simple(value: Any) -> Any:
    """Return a value that JSON can hold unchanged, else its name."""
    if isinstance(value, dict):
        return {str(name): _simple(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(v) for v in value]
    return value if isinstance(value, str | int | float | None) else str(value)
