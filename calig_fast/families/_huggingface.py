"""What the Hugging Face families have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..encoder import Encoder, children


def join(prefix: str, name: str) -> str:
    """Dotted name of `name` inside the module at `prefix`."""
    return f"{prefix}.{name}" if prefix else name


def blocks(module: nn.Module, prefix: str, types: set[str], *paths: str) -> tuple[str, ...]:
    """Names of the blocks of a backbone of one of `types`; empty where `module` is something else.

    Args:
        module: a module of the user's model.
        prefix: its dotted name.
        types: values of `config.model_type` that are meant.
        paths: where releases of transformers keep the list of blocks, newest first.
    """
    if getattr(getattr(module, "config", None), "model_type", None) not in types:
        return ()
    for path in paths:
        found = children(module, path)
        if found:
            return tuple(join(prefix, name) for name in found)
    return ()


def text(module: nn.Module, prefix: str, family: str, types: set[str], *paths: str, offset: int = 0) -> Encoder | None:
    """The encoder of a text backbone, or None.

    Args:
        offset: positions that the model's table of positions holds but never uses for tokens.
    """
    found = blocks(module, prefix, types, *paths)
    if not found:
        return None
    config: Any = module.config
    return Encoder(family=family, modality="text", blocks=found, max_length=config.max_position_embeddings - offset)


def image(
    module: nn.Module,
    prefix: str,
    family: str,
    types: set[str],
    *paths: str,
    tokens: int = 1,
    readout: Callable[[Tensor], Tensor] | None = None,
) -> Encoder | None:
    """The encoder of an image backbone, or None.

    Args:
        tokens: tokens before the first patch.
        readout: rows the head reads, see `Encoder`.
    """
    found = blocks(module, prefix, types, *paths)
    if not found:
        return None
    config: Any = module.config
    size = config.patch_size
    patch = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return Encoder(family=family, modality="image", blocks=found, prefix=tokens, patch=patch, readout=readout)
