"""A model, its inputs and an explanation's scores, for the effect of removals on the explained output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import integer, shown, takes
from ..results.attribution import Attribution
from ..results.tokens import Grid
from . import rankings
from .classes import numbered
from .perturbed_removal import Answer, Remover, ready, run
from .prepare import Inputs
from .target import Output, Target, is_multi_label, logits_of, scalars

OUTPUTS = ("prob", "logit", "log_prob", "accuracy")


@dataclass(frozen=True)
class PerturbationRunner:
    """The inputs of a metric that perturbs: model, scores and removable tokens.

    Args:
        remover: the model and the inputs.
        scores: [B,T] float64.
        removable: [B,T] bool, the removable tokens.
        grid: where the patches lie, None for text.
        answer: reads F from the model's output.
        batch_size: rows in one forward pass.
    """

    remover: Remover
    scores: Tensor
    removable: Tensor
    grid: Grid | None
    answer: Answer
    batch_size: int

    def answers(self, removed: Tensor) -> Tensor:
        """[B,K] float64, the output without `removed` [B,K,T]."""
        return self.remover.answers(removed, self.answer, self.grid, self.batch_size)

    def answers_of(self, removed: Tensor, owners: Tensor) -> Tensor:
        """[N] float64, the output without `removed` [N,T] of the inputs `owners` [N]."""
        return self.remover.answers_of(removed, owners, self.answer, self.grid, self.batch_size)

    def top(self, fractions: Tensor, largest: bool = True) -> Tensor:
        """[B,K,T] bool, the given shares of the removable tokens, the largest (or smallest) scores first."""
        places = rankings.places(self.scores if largest else -self.scores, self.removable)
        return places[:, None] < rankings.counts(fractions, self.removable)[:, :, None]


def perturbation_runner(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    target: Any,
    *,
    processor: Any,
    removal: Any,
    output: Output,
    batch_size: int,
) -> PerturbationRunner:
    """Put a model, its inputs and the scores of an explanation together; the arguments are the same as in `erasure`.

    Raises:
        ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
    """
    batch_size = integer("batch_size", batch_size, 1, 2**31)
    remover = Remover(model, inputs, processor, removal)
    table = rankings.table(scores)
    rows = scores.source if isinstance(scores, Attribution) else None
    wanted = len(remover.batch) if rows is None else int(rows.max()) + 1
    if (rows is None and len(table) != wanted) or wanted > len(remover.batch):
        raise ValueError(
            f"scores: {len(table)} rows for {len(remover.batch)} inputs; pass the scores of these inputs, in their "
            "order"
        )
    if rows is not None:
        remover.select(rows)
    given_grid = scores.grid if isinstance(scores, Attribution) and not remover.text else None
    grid = given_grid or remover.grid(table.shape[1])
    removable = remover.removable(table.shape[1], grid)
    if isinstance(scores, Attribution):
        removable = removable & (scores.mask & ~scores.special).cpu()
    if target is None and isinstance(scores, Attribution) and not callable(output):
        target = _explained(scores, output)
    none = torch.zeros_like(removable)[:, None]
    target = numbered(target, remover.model)
    answer = _answer(remover, output, target, none, grid=grid, batch_size=batch_size)
    return PerturbationRunner(remover, table, removable, grid=grid, answer=answer, batch_size=batch_size)


def _explained(attribution: Attribution, output: Output) -> Any:
    """The attribution's target; for a contrast with another output, its first class."""
    target = attribution.target
    return target[:, 0] if target is not None and target.dim() == 2 and output != "contrast" else target


def _answer(
    remover: Remover, output: Output, target: Any, none: Tensor, *, grid: Grid | None, batch_size: int
) -> Answer:
    """Return the function that reads F from the model's output."""
    several = is_multi_label(remover.model)
    if callable(output):
        if not takes(output, 1) and not takes(output, 2):
            raise TypeError(f"output: expected a function of the model's output, got {shown(output)}")
        return scalars(output, target, None, several)[0]
    if not isinstance(output, str) or output not in (*OUTPUTS, "contrast"):
        raise (ValueError if isinstance(output, str) else TypeError)(
            f"output: {shown(output)} is not one of {OUTPUTS}, nor a function of the model's output"
        )
    # a given target needs only the number of logits
    removed = none if target is None else none[:1]
    logits = remover.answers(removed, _logits, grid, batch_size)[:, 0].expand(len(none), -1)
    kind = "logit" if output == "accuracy" else output
    device = next(remover.model.parameters()).device
    if isinstance(target, Tensor):
        target = target.cpu()
    targets = scalars(kind, target, logits, several)
    classes = _only(targets)
    if output == "accuracy":
        return _right(classes.to(device), several)
    scalar = replace(targets[0], target=classes.to(device))
    return lambda out, rows: scalar(_logits(out, rows), rows)


def _logits(output: Any, rows: Tensor) -> Tensor:
    logits = logits_of(output, len(rows))
    if logits is None or logits.dim() != 2:
        came = "none" if logits is None else list(logits.shape)
        raise ValueError(
            f"model: needs logits [B,C], got {came}; for token classification or question answering pass output=, a "
            "function of the model's output that returns one scalar a row"
        )
    if not bool(torch.isfinite(logits).all()):
        raise ValueError(
            "model: its logits are NaN or infinite, at an input or with something removed; look for NaN in the "
            "weights, or for an overflow in float16"
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _right(target: Tensor, several: bool) -> Answer:
    """1 where the model decides for the target: the largest logit, or a positive one where classes do not compete."""

    def answer(output: Any, rows: Tensor) -> Tensor:
        z = _logits(output, rows)
        chosen = target[rows]
        if several or z.shape[1] == 1:
            return z.gather(1, chosen[:, None])[:, 0] > 0
        return z.argmax(1) == chosen

    return answer


def explained_classes(model: nn.Module, batch: Inputs, target: Any) -> Tensor:
    """[B] int64 on the CPU, the class of each input that is explained: the predicted one where target is None.

    Raises:
        ValueError, TypeError: a target the model has no logit for, several of an input, or a model without logits.
    """
    running, batch = ready(model, batch)
    with torch.inference_mode(False), torch.no_grad():
        logits = _logits(run(running, batch.call), torch.arange(len(batch))).cpu()
    target = numbered(target, model)
    targets = scalars("logit", target.cpu() if isinstance(target, Tensor) else target, logits, is_multi_label(model))
    return _only(targets)


def _only(targets: list[Target]) -> Tensor:
    """The one target of each input.

    Raises:
        ValueError: several of each.
    """
    if len(targets) > 1 or targets[0].target is None:
        raise ValueError(
            f"target: {len(targets)} targets of each input, and scores of one; pass the Attribution of several "
            "targets, which is measured row by row, or one target an input"
        )
    return targets[0].target
