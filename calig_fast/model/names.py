"""Names that a model gives itself and the tokens that it adds to an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

# In the order in which transformers and timm put them before the patches.
_ADDED = (
    (("cls_token", "class_token", "class_embedding"), "class token"),
    (("dist_token", "distillation_token"), "distillation token"),
    (("reg_token", "register_tokens"), "register"),
)


def name_of(model: nn.Module) -> str:
    """The name of a model: of its checkpoint in transformers, of its architecture in timm, else its class.

    Of a folder it is the last part: a path says more of a machine than of a model.
    """
    given = getattr(getattr(model, "config", None), "_name_or_path", None)
    if isinstance(given, str) and given.strip() not in {"", "None"}:  # transformers' text where there is no checkpoint
        path = Path(given)
        return path.name if path.is_absolute() or len(path.parts) != 2 or path.exists() else given
    settings: Any = getattr(model, "pretrained_cfg", None)
    named = settings.get("architecture") if isinstance(settings, Mapping) else None
    return named if isinstance(named, str) and named else type(model).__name__


def tokens_before(model: nn.Module, count: int) -> tuple[str, ...]:
    """The names of the tokens before the patches of an image, by the model's own parameters.

    Args:
        model: that adds them.
        count: how many there are.

    Returns:
        a name each; empty where the parameters are not these tokens.
    """
    totals: dict[str, int] = {}
    for path, weight in model.named_parameters():
        last = path.rpartition(".")[2]
        for names, kind in _ADDED:
            if last in names and weight.dim():
                totals[kind] = totals.get(kind, 0) + weight.numel() // max(weight.shape[-1], 1)
    counted = tuple(
        kind if kind != "register" else f"register {n + 1}" for _, kind in _ADDED for n in range(totals.get(kind, 0))
    )
    return counted if len(counted) == count else ()
