"""Short trainings of the tasks' models, the same on every machine up to rounding."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)


def batches(lengths: list[int], size: int, seed: int) -> Iterator[list[int]]:
    """One epoch of row numbers, rows of like length together so that little is padded."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    groups = []
    for begin in range(0, len(order), 16 * size):
        run = sorted(order[begin : begin + 16 * size], key=lambda i: lengths[i])
        groups += [run[i : i + size] for i in range(0, len(run), size)]
    yield from (groups[i] for i in torch.randperm(len(groups), generator=generator).tolist())


def fit(
    parameters: list[nn.Parameter],
    logits: Callable[[list[int]], Tensor],
    labels: Tensor,
    lengths: list[int],
    *,
    rate: float,
    epochs: int,
    size: int,
    name: str,
) -> None:
    """AdamW under a linear decay with warm-up.

    Args:
        parameters: what is trained.
        logits: of the rows with these numbers.
        labels: [N] int64.
        lengths: tokens of each row.
        rate: the highest learning rate.
        epochs, size: passes over the rows, and rows in a step.
        name: what progress is reported as.
    """
    steps = epochs * -(-len(lengths) // size)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 50, (steps - k) / steps))
    begun, step, recent = time.monotonic(), 0, 0.0
    for epoch in range(epochs):
        for rows in batches(lengths, size, epoch):
            loss = F.cross_entropy(logits(rows), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step, recent = step + 1, recent + loss.item()
            if step % 25 == 0:
                line = f"{name}: step {step}/{steps}, loss {recent / 25:.3f}, {time.monotonic() - begun:.0f} s"
                print(line, file=sys.stderr, flush=True)
                recent = 0.0


def padded(rows: list[Tensor], value: float = 0) -> tuple[Tensor, Tensor]:
    """Rows [T,...] of several lengths as one [B,T,...], and the mask [B,T] of what is real."""
    lengths = torch.tensor([len(row) for row in rows])
    batch = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
    return batch, (torch.arange(batch.shape[1]) < lengths[:, None]).long()
