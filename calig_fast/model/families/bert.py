"""BERT and its distillations that keep its architecture (MiniLM, TinyBERT)."""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, text


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BertModel."""
    return text(module, prefix, "bert", {"bert"}, "encoder.layer", read=bert_block)
