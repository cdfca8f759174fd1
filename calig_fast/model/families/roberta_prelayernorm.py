"""Pre-norm RoBERTa: RoBERTa-PreLayerNorm, and XLM-RoBERTa-XL, which keeps its norms elsewhere."""

from __future__ import annotations

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import bert_block, padding_offset, text

NORMS = {
    "roberta-prelayernorm": ("attention.LayerNorm", "intermediate.LayerNorm"),
    "xlm-roberta-xl": ("attention.self_attn_layer_norm", "LayerNorm"),
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a RobertaPreLayerNormModel or an XLMRobertaXLModel."""
    offset = padding_offset(module)
    return text(module, prefix, "roberta_prelayernorm", {*NORMS}, "encoder.layer", offset=offset, read=_block)


def _block(module: nn.Module) -> Block:
    return bert_block(module, _norms(module), pre_norm=True)


def _norms(module: nn.Module) -> tuple[str, str]:
    """The names of the norms: those of an XL lie beside the attention's and the MLP's parts, not in them."""
    return NORMS["xlm-roberta-xl" if hasattr(module, "LayerNorm") else "roberta-prelayernorm"]
