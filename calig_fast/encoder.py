"""What the engines know of a model: where its blocks are, what it reads, and how its tokens are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Modality = Literal["text", "image"]


@dataclass(frozen=True)
class Encoder:
    """A transformer encoder inside a model.

    Args:
        family: name of the family file that recognised it, or "layers" where the caller named the blocks.
        modality: "text" (integer ids) or "image" (pixels).
        blocks: dotted names of the block modules inside the model; a block used several times stands once.
        embedding: dotted name of the word-embedding module, or None.
        max_length: most tokens the model reads, or None where there is no such limit.
        prefix: tokens before the first image patch.
        patch: patch size in pixels (rows, columns), or None.
        normalisation: mean and standard deviation per channel that its pixels were normalised with, where known.
        readout: [B,T] mask to weights [B,T] of the rows of the last hidden state that the head reads; None: every row
            that the explained scalar has a gradient at, equally.
    """

    family: str
    modality: Modality
    blocks: tuple[str, ...]
    embedding: str | None = None
    max_length: int | None = None
    prefix: int = 0
    patch: tuple[int, int] | None = None
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    readout: Callable[[Tensor], Tensor] | None = None


def children(model: nn.Module, path: str) -> tuple[str, ...]:
    """Dotted names of the children of the module list at `path`; empty where there is no such list."""
    try:
        stack = model.get_submodule(path)
    except AttributeError:
        return ()
    return tuple(f"{path}.{name}" for name, _ in stack.named_children())


def name_of(model: nn.Module, module: nn.Module | None) -> str | None:
    """Dotted name of `module` inside `model`, or None."""
    return next((name for name, m in model.named_modules() if m is module), None)
