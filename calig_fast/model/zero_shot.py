"""A model of images and texts as a classifier of images: its classes are texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from .._utils.arguments import kind


class ZeroShot(nn.Module):
    """Scores of images with given texts, as logits: z_bc = `logits_per_image` of image b and text c.

    Args:
        model: CLIPModel, SiglipModel or another that returns `logits_per_image`; called as it is, and not changed.
        texts: its arguments for the texts, [C,U] each, as its processor or tokenizer makes them of C texts.
        names: C names of the classes; None for their numbers.

    Raises:
        TypeError: no module; texts that are no mapping of tensors; names that are no texts.
        ValueError: texts of different numbers, none, or beside pixels; another number of names.
    """

    def __init__(self, model: nn.Module, texts: Mapping[str, Tensor], names: Sequence[str] | None = None) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a model of images and texts, got {kind(model)}")
        values = _texts(texts)
        self.model = model
        self._arguments = tuple(values)
        for number, value in enumerate(values.values()):
            self.register_buffer(f"_text_{number}", value, persistent=False)
        self.config = _config(model, _names(names, len(next(iter(values.values())))))

    def forward(self, pixel_values: Tensor, **options: Any) -> Tensor:
        """Scores [B,C] of images [B,3,height,width]."""
        texts = {name: getattr(self, f"_text_{number}") for number, name in enumerate(self._arguments)}
        output = self.model(pixel_values=pixel_values, **texts, **options)
        scores: Tensor | None = getattr(output, "logits_per_image", None)
        if scores is None:
            raise TypeError(
                f"model: {type(self.model).__name__} returns no logits_per_image; pass CLIPModel or its like"
            )
        return scores


def _texts(given: Any) -> dict[str, Tensor]:
    values = dict(given) if hasattr(given, "keys") else {}
    tensors = all(isinstance(k, str) and isinstance(v, Tensor) and v.dim() > 0 for k, v in values.items())
    if not values or not tensors:
        raise TypeError(
            "texts: expected a mapping of names to tensors [C,U], as "
            f'processor(text=[...], padding=True, return_tensors="pt") gives, got {kind(given)}'
        )
    if "pixel_values" in values:
        raise ValueError("texts: they hold pixel_values, which are the inputs of explain; leave them out")
    counts = {name: len(value) for name, value in values.items()}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        raise ValueError(f"texts: every tensor needs a row for each text, and there must be one, got {counts}")
    return values


def _names(given: Sequence[str] | None, count: int) -> list[str] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"names: expected a name for each of {count} texts, got {kind(given)}")
    if len(given) != count:
        raise ValueError(f"names: expected a name for each of {count} texts, got {len(given)}")
    return list(given)


def _config(model: nn.Module, names: list[str] | None) -> SimpleNamespace:
    """The classes, exclusive (softmax) but with SigLIP, which was trained on a sigmoid of each score."""
    config = SimpleNamespace(problem_type=None)
    if getattr(model, "logit_bias", None) is not None:
        config.problem_type = "multi_label_classification"
    if names is not None:
        config.id2label = dict(enumerate(names))
    return config
