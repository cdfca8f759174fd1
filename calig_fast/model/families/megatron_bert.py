"""Megatron-BERT: pre-norm, with BERT's names for all but the norms."""

from __future__ import annotations

from functools import partial

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, text

_block = partial(bert_block, norms=("attention.ln", "ln"), pre_norm=True)


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a MegatronBertModel."""
    return text(module, prefix, "megatron_bert", {"megatron-bert"}, "encoder.layer", read=_block)
