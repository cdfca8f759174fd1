"""The way in by a name: an `Explainer` of a saved classifier."""

from __future__ import annotations

import os

from typing_extensions import Unpack

from ..inputs import saved
from .explain import Explainer
from .options import ExplainOptions


def from_pretrained(source: str | os.PathLike[str], **options: Unpack[ExplainOptions]) -> Explainer:
    """An `Explainer` of a saved classifier, with its own tokenizer or image processor; nothing is downloaded.

    Args:
        source: a folder that `save_pretrained` or timm wrote, or the id of a model in the cache of the Hugging Face
            hub.
        **options: the options of `explain`.

    Returns:
        the explainer; call it with texts or pictures. Its model is `explainer.model`.

    Raises:
        ValueError: no such folder or cached model, or no classifier that can be loaded; see also `explain`.
        TypeError: `source` is no name; see also `explain`.
        ImportError: the package that the model needs is not installed.
    """
    model, processor = saved.model_and_processor(saved.folder_of(source))
    return Explainer(model, processor, **options)
