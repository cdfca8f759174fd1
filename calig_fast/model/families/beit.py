"""BEiT, BEiTv2 and data2vec's image model: ViT's blocks with weights of the pairs of patches, a table a block."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..encoder import Block, Encoder
from ._distances import pair_weights
from ._huggingface import image, vit_block
from ._weights import unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BeitModel or a Data2VecVisionModel."""
    backbone = image(module, prefix, "beit", {"beit", "data2vec-vision"}, "encoder.layer", "layers")
    if backbone is None:
        return None
    model: Any = module
    shared = getattr(model, "shared_position_bias", None) or getattr(
        getattr(model, "encoder", None), "relative_position_bias", None
    )
    # the embeddings of data2vec, and of BEiT before transformers 5, return more than hidden states
    stem = backbone.stem if hasattr(model, "layers") else None
    return replace(backbone, read=partial(_block, shared), stem=stem)


def _block(shared: nn.Module | None, module: nn.Module) -> Block:
    m: Any = module
    if shared is not None:
        unhooked(shared)
    inner = m if hasattr(m.attention, "q_proj") else m.attention.attention
    own = getattr(inner, "relative_position_bias", None)
    terms = pair_weights(own, shared)
    return replace(vit_block(module), scale1=_scale(m.lambda_1), scale2=_scale(m.lambda_2), positions=terms)


def _scale(given: Any) -> Tensor | None:
    """The factors of a branch; the model keeps 1.0 or None where it has none."""
    return given if isinstance(given, Tensor) else None
