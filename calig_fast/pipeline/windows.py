"""The options of a call whose rows are windows of texts: one target for all windows of a text, a finer tolerance."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..inputs.prepare import Inputs
from ..inputs.target import Output, arity, logits_of, per_input
from ..model.call import Call, called, row_count, rows_of
from ..model.checks import compute_dtype
from ..model.clone import share_weights
from ..results.windows import Windows
from .options import Options

ROWS = 32  # windows in a forward pass that looks for the predicted class


def settings_of_windows(settings: Options, batch: Inputs, model: nn.Module) -> Options:
    """The options for the windows of a batch, from those for its texts.

    The predicted class is that of the mean of the windows' logits. The tolerance is divided by the root of W, the most
    windows of a text: errors of W equal parts that do not overlap are sqrt(W) times as large relative to the whole.

    Args:
        settings: the options, targets as numbers.
        batch: the windows.
        model: the module that computes.

    Raises:
        ValueError: context maps were asked for, or targets that are not one for each text.
    """
    windows = batch.windows
    if windows is None:
        return settings
    if settings.return_maps:
        raise ValueError(
            "return_maps: a text of several windows has a map of each window and none of its own; leave return_maps "
            "out, or explain the windows one at a time"
        )
    texts = len(windows.texts)
    target = per_input(settings.output, settings.target, texts, slice(0, texts))
    if target is None and not callable(settings.output):
        target = _predicted(settings.output, batch.call, windows, model)
    elif _is_per_text(target, settings):
        target = target[list(windows.owners)] if isinstance(target, Tensor) else [target[i] for i in windows.owners]
    return replace(
        settings,
        target=target,
        output=_by_text(settings.output, windows.owners) if callable(settings.output) else settings.output,
        tolerance=settings.tolerance / math.sqrt(windows.most),
    )


def _is_per_text(target: Any, settings: Options) -> bool:
    """Return True for a sequence of targets, not one for all texts."""
    if target is None or isinstance(target, str | int):
        return False
    axes = target.dim() if isinstance(target, Tensor) else 2 if isinstance(target[0], list) else 1
    return axes > (1 if settings.output == "contrast" else 0)


def _by_text(output: Callable[..., Tensor], owners: tuple[int, ...]) -> Output:
    """The caller's function, which gets the number of the text of each row."""
    if arity(output) < 2:
        return output
    numbers = torch.tensor(owners)

    @functools.wraps(output)
    def by_text(answer: Any, rows: Tensor) -> Tensor:
        return output(answer, numbers.to(rows.device)[rows])

    return by_text


@torch.no_grad()
def _predicted(kind: str, call: Call, windows: Windows, model: nn.Module) -> Tensor | None:
    """[W] the class of the largest mean logit, [W,2] the two largest for a contrast; None where it cannot be told."""
    running, logit_parts = share_weights(model, dtype := compute_dtype(None, model)), []
    wide = {k: v.to(dtype) if _is_wide(v) else v for k, v in call.items()}
    for first in range(0, row_count(call), ROWS):
        part = rows_of(wide, slice(first, first + ROWS))
        logits = logits_of(called(running, part), row_count(part))
        if logits is None or logits.dim() != 2 or not bool(torch.isfinite(logits).all()):
            return None  # told by the explanation
        logit_parts.append(logits.double().cpu())
    owners = torch.tensor(windows.owners)
    every = torch.cat(logit_parts)
    sums = every.new_zeros(len(windows.texts), every.shape[1]).index_add_(0, owners, every)
    means = sums / torch.bincount(owners)[:, None]
    if kind == "contrast":
        return None if means.shape[1] < 2 else means.topk(2).indices[owners]
    return means.argmax(1)[owners]


def _is_wide(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 2
