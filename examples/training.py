"""Common code of the training scripts."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows of logits [N,C] with the label [N] as largest entry."""
    return (logits.argmax(dim=-1) == labels).float().mean().item()


def read_texts(model: Callable[..., Tensor], tokenizer: Any, texts: list[str], length: int, size: int = 16) -> Tensor:
    """Return the output of `model` for each text [N,...], in batches of similar length, with little padding."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: list[Tensor] = []
    with torch.inference_mode():
        for begin in range(0, len(order), size):
            chosen = [texts[i] for i in order[begin : begin + size]]
            rows.append(
                model(**tokenizer(chosen, truncation=True, max_length=length, padding=True, return_tensors="pt"))
            )
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(rows)[back]


def versions() -> dict[str, str]:
    """The versions a result depends on, for the metadata of a weights file."""
    return {"versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))}
