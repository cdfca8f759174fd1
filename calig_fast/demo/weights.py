"""The trained weights this package ships: half precision in a safetensors file, its origin in the file's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from .._utils import files
from .packages import MissingPackageError

DATA = Path(__file__).parent / "data"


def path(name: str) -> Path:
    """Return the path of a demo's weights."""
    return DATA / f"{name}.safetensors"


def read(name: str) -> dict[str, Tensor]:
    """The tensors of a demo, by parameter name, as float32.

    Raises:
        MissingPackageError: they are not there; a wheel leaves out those that change another model.
    """
    if not path(name).is_file():
        raise MissingPackageError(
            f"this demo needs {path(name)}, which a wheel leaves out: copy it from a checkout or the source "
            "archive, or run make setup there",
            path=str(path(name)),
        )
    with safe_open(path(name), framework="pt") as file:
        return {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)


def metadata(name: str) -> dict[str, str]:
    """The record of a demo's training: accuracy, split sizes, command, versions."""
    with safe_open(path(name), framework="pt") as file:
        return dict(file.metadata())


def write(name: str, state: dict[str, Tensor], made: dict[str, str]) -> Path:
    """Write the tensors of a demo as float16 and how they were made; returns the file."""
    half = {key: value.detach().to(torch.float16).contiguous() for key, value in state.items()}
    return files.write(path(name), save(half, metadata={key: str(value) for key, value in made.items()}))


def build(kind: Any, config: Any, state: dict[str, Tensor]) -> Any:
    """A Hugging Face model of these tensors, in eval mode.

    Transformers translates the names, so one file serves the releases that name a ViT's parameters differently.

    Args:
        kind: the model class.
        config: its configuration.
        state: float32 tensors by parameter name.

    Raises:
        ValueError: the tensors do not belong to the model.
    """
    from transformers.utils import logging

    bar: Any = logging
    shown = bar.is_progress_bar_enabled()
    bar.disable_progress_bar()
    try:
        model, info = kind.from_pretrained(None, config=config, state_dict=state, output_loading_info=True)
    finally:
        if shown:
            bar.enable_progress_bar()
    wrong = sorted({*info["missing_keys"], *info["unexpected_keys"]})
    if wrong:
        raise ValueError(f"the weights do not fit {kind.__name__}: {', '.join(wrong[:4])}; install transformers>=4.50")
    return model.eval()
