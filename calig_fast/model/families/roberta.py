"""RoBERTa, XLM-RoBERTa (AfroLM is one), CamemBERT, data2vec's text model, MarkupLM and LUKE.

They have BERT's blocks, and count positions from padding_idx + 1. MarkupLM adds places in the page's tree. LUKE has
these blocks where it is given no entities.
"""

from __future__ import annotations

from torch import nn

from ..encoder import Encoder
from ._huggingface import bert_block, padding_offset, text

TYPES = {"camembert", "data2vec-text", "luke", "markuplm", "roberta", "xlm-roberta"}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a RobertaModel or one that counts positions as it does."""
    return text(module, prefix, "roberta", TYPES, "encoder.layer", offset=padding_offset(module), read=bert_block)
