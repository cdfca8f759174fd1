"""DistilBERT: BERT's blocks without segments or pooler."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import text


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a DistilBertModel."""
    return text(module, prefix, "distilbert", {"distilbert"}, "transformer.layer")
