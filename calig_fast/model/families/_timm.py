"""Common parts of the families of timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..encoder import Affine, Block, Encoder, children
from ._huggingface import join
from ._weights import UnreadableError, affine, fused, norm


def made_of(module: nn.Module) -> set[str]:
    """The full names of a module's classes."""
    return {f"{c.__module__}.{c.__name__}" for c in type(module).__mro__}


def image(module: nn.Module, prefix: str, family: str, stem: str, read: Callable[[nn.Module], Block]) -> Encoder:
    """The encoder of a transformer of timm.

    Args:
        module: it.
        prefix: its dotted name.
        family: the family that knows it.
        stem: the name of its module that makes patches.
        read: how a block's weights are read.
    """
    model: Any = module
    rows, columns = getattr(model, stem).patch_size
    config = getattr(model, "pretrained_cfg", None) or {}
    known = "mean" in config and "std" in config
    return Encoder(
        family=family,
        modality="image",
        blocks=tuple(join(prefix, name) for name in children(module, "blocks")),
        prefix=int(model.num_prefix_tokens),
        patch=(int(rows), int(columns)),
        normalisation=(tuple(config["mean"]), tuple(config["std"])) if known else None,
        read=read,
        stem=join(prefix, stem) if stem == "patch_embed" else None,
    )


def extra_norms(block: Any) -> dict[str, Any]:
    """The norms inside the branches of a block of timm, by their names in ours.

    Raises:
        UnreadableError: a part that our block has not, naming it.
    """
    attention = block.attn
    if getattr(attention, "gate", None) is not None:
        raise UnreadableError("its blocks have attn.gate")
    parts = {
        "norm_q": getattr(attention, "q_norm", None),
        "norm_k": getattr(attention, "k_norm", None),
        "inner1": getattr(attention, "norm", None),
        "inner2": getattr(block.mlp, "norm", None),
    }
    return {name: None if part is None or isinstance(part, nn.Identity) else norm(part) for name, part in parts.items()}


def mlp_up(mlp: Any) -> tuple[Affine, bool]:
    """The first projection of an MLP, and whether it is gated: then gate and value are side by side.

    Raises:
        UnreadableError: another kind of MLP.
    """
    kind = type(mlp).__name__
    if kind == "Mlp":
        return affine(mlp.fc1), False
    if kind == "SwiGLU":
        return fused([affine(mlp.fc1_g), affine(mlp.fc1_x)]), True
    if kind == "GluMlp":
        both = affine(mlp.fc1)
        return (_swapped(both) if mlp.gate_last else both), True
    raise UnreadableError(f"its blocks are of another kind (an MLP of kind {kind})")


def _swapped(both: Affine) -> Affine:
    """The second half of a projection before the first, a copy."""
    half = len(both.weight) // 2
    return Affine(both.weight.roll(half, 0), None if both.bias is None else both.bias.roll(half, 0))
