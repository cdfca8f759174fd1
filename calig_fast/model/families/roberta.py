"""RoBERTa, XLM-RoBERTa (AfroLM is one) and CamemBERT: BERT's blocks, positions counted from padding_idx + 1."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, text


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a RobertaModel, XLMRobertaModel or CamembertModel."""
    config: Any = getattr(module, "config", None)
    padding = getattr(config, "pad_token_id", None)
    unused = (padding if isinstance(padding, int) else 0) + 1
    types = {"roberta", "xlm-roberta", "camembert"}
    return text(module, prefix, "roberta", types, "encoder.layer", offset=unused, read=bert_block)
