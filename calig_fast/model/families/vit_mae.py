"""ViT-MAE in pre-training form: it has no class to explain, and says where the explainable form is."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """None: a pre-training checkpoint is no classifier; its fine-tuned form is of the family vit."""
    return None


def refusal(module: nn.Module) -> str | None:
    """The reason why a ViT-MAE module cannot be explained, or None for any other module."""
    if getattr(getattr(module, "config", None), "model_type", None) != "vit_mae":
        return None
    return (
        f"{type(module).__name__} is a masked autoencoder: it has no class logits, and it shuffles its patches at "
        "every call; load the checkpoint as ViTForImageClassification (num_labels=...), fine-tune it, and explain that"
    )
