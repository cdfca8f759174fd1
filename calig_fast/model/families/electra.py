"""ELECTRA: BERT's blocks over embeddings of a width of their own, projected up where the widths differ."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, text


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an ElectraModel."""
    return text(module, prefix, "electra", {"electra"}, "encoder.layer", read=bert_block)
