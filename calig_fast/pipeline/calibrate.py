"""A calibration: the scores of a model chosen by comprehensiveness minus sufficiency on inputs of the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.progress import Progress, ticker
from ..inputs import rankings
from ..inputs.digest import digests
from ..inputs.perturbed_outputs import PerturbationRunner, perturbation_runner
from ..methods.base import Method, Scores, Signals
from ..methods.candidates import candidates, family
from ..quadrature.estimate import Floats
from ..results.attribution import Attribution
from .calibrated import Calibrated

FRACTIONS = (0.1, 0.3, 0.5)
LEAST = 4  # inputs; a choice made on the others of three is noise
AUTO_LEAST = 8  # inputs of a call that `calibration="auto"` chooses on
RESAMPLES = 1_000
TOLERANCE = 0.1  # of the integrals that a choice is made by: the order of candidates needs no more
_REMOVALS = {"text": ("mask", "pad", "delete", "zero_embedding"), "image": ("blur", "mean")}
Explain = Callable[..., Attribution]


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """The options of a calibration.

    Args:
        model: the model.
        processor: tokenizer or image processor, or None.
        removals: replacements of removed parts, None for two that the model takes.
        fractions: shares of the removable tokens.
        batch_size: rows in one forward pass.
        progress: see `explain`.
    """

    model: Any
    processor: Any
    removals: Sequence[Any] | None = None
    fractions: Sequence[float] = FRACTIONS
    batch_size: int = 64
    progress: Progress = None


def choose(explain: Explain, inputs: Any, asked: CalibrationOptions) -> Calibrated:
    """Choose the scores of a model.

    Args:
        explain: `Explainer.__call__` of the model.
        inputs: [B] inputs, gathered.
        asked: the options.

    Raises:
        ValueError, TypeError: see `Explainer.calibrate`.
    """
    begun = time.monotonic()
    shares = rankings.fractions_of(asked.fractions)
    with ticker(asked.progress, 1 if asked.removals is None else 1 + len(asked.removals)) as tick:
        tables, default, prior, first = _candidates(explain, inputs)
        tick()
        runners = _runners(inputs, first, asked)
        values = np.zeros((len(tables), first.batch))
        passes = 0
        for k, runner in enumerate(runners.values()):  # the removals take turns: each input has one
            rows = torch.arange(k, first.batch, len(runners))
            values[:, rows], count = _measured(runner, rows, list(tables.values()), shares)
            passes += count
            if asked.removals is not None:
                tick()
    pairs = list(tables)
    indices = pairs.index(default), pairs.index(prior)
    chosen = choose_among(values, indices[1])
    return Calibrated(
        candidate=pairs[chosen][0],
        rules=pairs[chosen][1],
        depth=first.layer_scores.shape[1],
        default=default,
        inputs=digests(next(iter(runners.values())).remover.batch),
        removals=tuple(runners),
        fractions=tuple(shares.tolist()),
        tried={" | ".join(pair): float(row.mean()) for pair, row in zip(pairs, values, strict=True)},
        **surety(values, *indices),
        seconds=time.monotonic() - begun,
        passes=passes,
    )


def _candidates(
    explain: Explain, inputs: Any
) -> tuple[dict[tuple[str, str], Tensor], tuple[str, str], tuple[str, str], Attribution]:
    """The scores [B,T] of every candidate by name and rules; the default, the prior, and the plain explanation."""
    attribution, signals = _read(explain, inputs, "plain")
    if attribution.source is not None:
        raise ValueError(
            "target: a calibration takes one target an input; leave target at None for the predicted class"
        )
    if attribution.target is None or attribution.target.dim() != 1:
        raise ValueError(
            "output: a calibration measures the probability of one class an input; explain a logit, a probability "
            "or a log-probability of one target"
        )
    depth = attribution.layer_scores.shape[1]
    names, default, prior = family(attribution.texts is not None, depth)
    every = {"plain": signals}
    other: Tensor | None = None
    if any(rules == "gim" for _, rules in names):
        try:
            of_gim, every["gim"] = _read(explain, inputs, "gim")
            other = of_gim.layer_scores[:, 0].double()
        except ValueError as error:  # a model without the operations that the rules alter
            if not str(error).startswith("rules:"):
                raise
            names = [pair for pair in names if pair[1] == "plain" and pair[0] != prior]
            prior = default
    methods = candidates(depth)
    tables = {(name, rules): _scores(methods[name], every[rules], other) for name, rules in names}
    if attribution.batch < LEAST or any(len(table) != attribution.batch for table in tables.values()):
        raise ValueError(
            f"inputs: a calibration takes at least {LEAST} inputs, each explained as a whole, got {attribution.batch}"
        )
    return tables, (default, "plain"), (prior, "plain"), attribution


def _read(explain: Explain, inputs: Any, rules: str) -> tuple[Attribution, list[Signals]]:
    """An explanation under some rules, and its signals group by group."""
    last: dict[int, Signals] = {}  # of each group of inputs, which has a product of its own

    def read(s: Signals) -> Scores:
        last[id(s.product)] = s
        return s.relevance.sum(1), s.relevance

    def changed(s: Signals, others: Tensor) -> Tensor:
        return s.relevance.sum(1) + (others - s.relevance).transpose(1, 2)

    method = Method("candidates", "layer", "gradient", read, changed=changed)
    attribution = explain(inputs, method=method, rules=rules, tolerance=TOLERANCE, long_texts="cut", progress=None)
    return attribution, list(last.values())


def _scores(method: Method, groups: list[Signals], other: Tensor | None) -> Tensor:
    """The scores [B,T] of a candidate; `other` is IG at the embeddings [B,T] under the rules of its share."""
    parts, first = list[Tensor](), 0
    for s in groups:
        if other is not None and method.fusion is not None and method.fusion.embedding_rules is not None:
            s = replace(s, embedding=other[first : first + len(s.mask)].to(s.mask.device))
        parts.append(method.scores(s)[0].cpu())
        first += len(s.mask)
    return torch.cat(parts)


def _runners(inputs: Any, attribution: Attribution, asked: CalibrationOptions) -> dict[str, PerturbationRunner]:
    """A runner of each removal by its name; of the default ones the first two that the model takes."""
    kind = "image" if attribution.texts is None else "text"
    wanted = _REMOVALS[kind] if asked.removals is None else asked.removals
    runners: dict[str, PerturbationRunner] = {}
    for removal in wanted:
        try:
            runners[str(removal)] = perturbation_runner(
                asked.model,
                inputs,
                attribution,
                None,
                processor=asked.processor,
                removal=removal,
                output="prob",
                batch_size=asked.batch_size,
            )
        except ValueError:
            if asked.removals is not None:
                raise
        if asked.removals is None and len(runners) == 2:
            break
    if not runners:
        raise ValueError(f"removals: expected at least one, such as {_REMOVALS[kind][0]!r}, got {list(wanted)}")
    return runners


def _measured(p: PerturbationRunner, rows: Tensor, tables: list[Tensor], fractions: Tensor) -> tuple[Floats, int]:
    """Comprehensiveness minus sufficiency [C,n] of every candidate on some inputs [n], and the forward passes.

    Both have F(x), which cancels: mean_f F(top_f alone) - F(x without top_f). Sets that several candidates remove are
    run once.
    """
    removable = p.removable[rows]
    counts = rankings.counts(fractions, removable)[:, :, None]
    top = torch.stack([rankings.places(table[rows].double(), removable)[:, None] < counts for table in tables], 1)
    sets = torch.cat([removable[:, None, None] & ~top, top], 2)  # [n,C,2K,T]
    apart = [torch.unique(of_input.flatten(0, 1), dim=0, return_inverse=True) for of_input in sets]
    sizes = [len(different) for different, _ in apart]
    owners = rows.repeat_interleave(torch.tensor(sizes, dtype=torch.long))
    answers = p.answers_of(torch.cat([different for different, _ in apart]), owners).split_with_sizes(sizes)
    every = torch.stack([of_input[back] for of_input, (_, back) in zip(answers, apart, strict=True)])
    alone, without = every.view(sets.shape[:3]).chunk(2, 2)
    differences: Floats = (alone - without).mean(2).T.numpy()
    return differences, len(owners)


def choose_among(values: Floats, prior: int) -> int:
    """The index of the choice: the largest mean, where such choices of the others beat the prior on the one left out.

    Args:
        values: [C,B].
        prior: the index of the choice where they do not.
    """
    others = values.sum(1, keepdims=True) - values
    gains = values[others.argmax(0), np.arange(values.shape[1])] - values[prior]
    return int(values.mean(1).argmax()) if gains.mean() > 0 else prior


def surety(values: Floats, default: int, prior: int) -> dict[str, float]:
    """The gain of such choices over the default on inputs left out, its interval, and the share of equal choices.

    Args:
        values: [C,B].
        default, prior: indices.
    """
    count = values.shape[1]
    made = [choose_among(np.delete(values, b, 1), prior) for b in range(count)]
    gains = values[made, np.arange(count)] - values[default]
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    low, high = np.quantile(gains[draws].mean(1), (0.025, 0.975))
    chosen = choose_among(values, prior)
    again = [choose_among(values[:, draw], prior) == chosen for draw in draws]
    return {"gain": float(gains.mean()), "low": float(low), "high": float(high), "stability": float(np.mean(again))}
