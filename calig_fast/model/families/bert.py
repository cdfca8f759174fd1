"""BERT, its distillations (MiniLM, TinyBERT), and models of its blocks over other embeddings.

ERNIE has task types, LayoutLM boxes on the page, RoCBert shapes and sounds of characters, TAPAS places in a table, and
RemBERT word embeddings of a width of their own.
"""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, text

TYPES = {"bert", "ernie", "layoutlm", "rembert", "roc_bert", "tapas"}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BertModel or one of its blocks."""
    return text(module, prefix, "bert", TYPES, "encoder.layer", read=bert_block)
