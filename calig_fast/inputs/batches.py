"""Batches of a DataLoader as one list of inputs: a batch is a mapping, or inputs with their labels behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from .._utils.arguments import kind


class BatchError(TypeError):
    """A batch whose inputs cannot be told from its labels."""


def is_loader(inputs: Any) -> bool:
    """Return True for a DataLoader, of PyTorch or of a library that made its own class of it."""
    return isinstance(inputs, DataLoader)


def unbatched(batches: Iterable[Any]) -> Iterator[Any]:
    """The inputs of all batches, without their labels.

    Args:
        batches: mappings, which stay as they are; texts; a tensor [B,...]; or a sequence of inputs and labels [B]. Two
            columns of texts are pairs.

    Raises:
        BatchError: a batch of several columns that are no labels; naming the batch.
    """
    return (row for number, batch in enumerate(batches) for row in _rows(batch, number))


def _rows(batch: Any, number: int) -> list[Any]:
    if isinstance(batch, Tensor | np.ndarray):
        return list(batch)
    if not isinstance(batch, list | tuple) or not batch or isinstance(batch[0], str):
        return list(batch) if isinstance(batch, list | tuple) else [batch]
    if not all(isinstance(column, list | tuple | Tensor | np.ndarray) for column in batch):
        return list(batch)  # mappings or pictures, one an input
    inputs = [column for column in batch if not _are_labels(column)]
    if len(inputs) == 1:
        return list(inputs[0])
    if len(inputs) == 2 and all(_are_texts(column) for column in inputs):
        return list(zip(*inputs, strict=True))
    raise BatchError(
        f"inputs: batch {number} of the DataLoader has {len(inputs)} columns beside labels, "
        f"{', '.join(kind(column) for column in inputs[:3])}; let its collate_fn return a mapping of the model's "
        "arguments by their names"
    )


def _are_labels(column: Any) -> bool:
    """One number for each input."""
    if isinstance(column, Tensor | np.ndarray):
        return column.ndim == 1
    return all(isinstance(value, int | float) for value in column)


def _are_texts(column: Any) -> bool:
    return isinstance(column, list | tuple) and all(isinstance(value, str) for value in column)
