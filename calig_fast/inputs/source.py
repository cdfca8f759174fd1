"""The model as the user passes it: a module, or a transformers pipeline or a cross-encoder that holds one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .._utils.warn import warn_once


@dataclass(frozen=True)
class Source:
    """A model and the processor of its inputs.

    Args:
        model: the user's own object, or the module inside it.
        processor: tokenizer or image processor, or None.
        pairs: two texts in a list are one pair, as the `predict` of a cross-encoder reads them.
    """

    model: Any
    processor: Any = None
    pairs: bool = False

    def inputs(self, given: Any) -> Any:
        """The inputs, a cross-encoder's one pair as a tuple."""
        two = isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(part, str) for part in given)
        if two and isinstance(given, tuple) and not self.pairs:
            warn_once(
                "inputs: a tuple of two texts is one pair, which the model reads together; for two inputs pass a list, "
                'explain(model, ["a", "b"])'
            )
        return tuple(given) if self.pairs and two else given


def opened(model: Any, processor: Any = None) -> Source:
    """The module and the processor of the user's object; the caller's own processor comes first.

    Args:
        model: a module, a transformers pipeline or a cross-encoder of sentence-transformers.
        processor: tokenizer or image processor, or None for the one that comes with the model.

    Raises:
        ValueError: a SentenceTransformer, which has no classes, a zero-shot pipeline, which writes its own pairs, or
            one that calls its tokenizer in a way of its own.
    """
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if "CrossEncoder" in kinds:
        return Source(model.model, model.tokenizer if processor is None else processor, pairs=True)
    if "SentenceTransformer" in kinds:
        raise ValueError(
            "model: a SentenceTransformer returns embeddings, no logits; pass its transformer, model[0].auto_model, "
            "with processor=model.tokenizer and output=, a function of the transformer's output that returns one "
            "scalar a row, such as the similarity to a fixed embedding"
        )
    inner = getattr(model, "model", None)
    if isinstance(model, nn.Module) or not isinstance(inner, nn.Module) or not hasattr(model, "tokenizer"):
        return Source(model, processor)
    if getattr(model, "task", None) in {"zero-shot-classification", "zero-shot-image-classification"}:
        raise ValueError(
            "model: a zero-shot pipeline makes an input of each label; pass its model and tokenizer, and the pairs "
            '("text", "This example is about sport.") yourself'
        )
    own = (getattr(model, name, None) for name in ("image_processor", "feature_extractor"))
    tokenizer = getattr(model, "tokenizer", None)
    if getattr(model, "task", None) == "text-classification":
        tokenizer = _as_called(tokenizer, getattr(model, "_preprocess_params", None) or {})
    return Source(inner, next((part for part in (processor, tokenizer, *own) if part is not None), None))


def _as_called(tokenizer: Any, options: Mapping[str, Any]) -> Any:
    """A pipeline's tokenizer, cutting texts as the pipeline does.

    Raises:
        ValueError: the pipeline calls it with options that change the tokens in other ways.
    """
    strange = sorted(set(options) - {"truncation", "max_length", "padding", "return_tensors"})
    if tokenizer is None or not options:
        return tokenizer
    if strange:
        raise ValueError(
            f"model: the pipeline calls its tokenizer with {', '.join(strange)}, which explain does not; pass the "
            "pipeline's model with what its tokenizer returns for the text"
        )
    if options.get("max_length") is None or not options.get("truncation"):
        return tokenizer
    shorter = copy.copy(tokenizer)
    shorter.model_max_length = options["max_length"]
    return shorter
