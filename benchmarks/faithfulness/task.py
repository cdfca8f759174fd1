"""A faithfulness task: a model, inputs to tune on, held-out inputs, and their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from calig_fast.bench import record


class MissingDataError(RuntimeError):
    """The data of a task is not on this machine."""


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        call: the model's arguments, one row.
        label: the true class.
        words: for a text with rationales, the span (start, end) in tokens of each word.
        rationale: [W] bool, the words that annotators marked or that were planted.
    """

    call: dict[str, Tensor]
    label: int
    words: tuple[tuple[int, int], ...] = ()
    rationale: tuple[bool, ...] = ()


@dataclass(frozen=True, eq=False)
class Task:
    """A model and its inputs.

    Args:
        name: what `--tasks` takes.
        title: what it is, in words.
        kind: "text" (removed tokens become the mask token) or "image" (removed patches are blurred).
        model: the classifier, in eval mode, float32; its head reads the first token.
        processor: tokenizer or image processor.
        tune: inputs that options are chosen on.
        held: inputs that the chosen ones are confirmed on, once.
        more: further inputs to tune on, none of them held out.
        facts: what is known of the model, such as its accuracy.
    """

    name: str
    title: str
    kind: str
    model: nn.Module
    processor: Any
    tune: list[Case]
    held: list[Case]
    more: list[Case] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def reference(self, case: Case) -> Tensor:
        """The baseline of other implementations: ids with padding for content, or pixels of the mean colour."""
        if self.kind == "image":
            pixels = case.call["pixel_values"]
            return pixels.mean((2, 3), keepdim=True).expand_as(pixels)
        ids = case.call["input_ids"]
        baseline = torch.full_like(ids, self.processor.pad_token_id)
        baseline[:, 0], baseline[:, -1] = ids[:, 0], ids[:, -1]
        return baseline

    def split(self, name: str) -> list[Case]:
        """The inputs of a split."""
        if name == "choice":
            return self.tune + self.more
        return self.tune if name == "tune" else self.held


def parted(cases: Sequence[Case], sizes: Mapping[str, int]) -> tuple[list[Case], list[Case], list[Case]]:
    """The tuning inputs, the held-out ones after them, and further tuning inputs after those.

    Args:
        cases: in the order in which they were drawn.
        sizes: inputs of "tune", "held" and "more"; 0 of the last where it is not there.
    """
    stops = list(accumulate((sizes["tune"], sizes["held"], sizes.get("more", 0)), initial=0))
    tune, held, more = (list(cases[start:stop]) for start, stop in pairwise(stops))
    return tune, held, more


def kept(cache: Path, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Weights that were made before, or are made now: training happens once."""
    file = cache / f"{name}.safetensors"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        record.write(file, save({key: value.contiguous() for key, value in make().items()}))
    return load_file(file)


def words(encoded: Any) -> dict[int, tuple[int, int]]:
    """The tokens (start, end) of each word of a text that was given as words; words cut off are left out."""
    spans: dict[int, tuple[int, int]] = {}
    for t, word in enumerate(encoded.word_ids(0)):
        if word is not None:
            spans[word] = (spans.get(word, (t, t))[0], t + 1)
    return spans


def accuracy(model: nn.Module, cases: list[Case]) -> float:
    """The accuracy of the model on the inputs."""
    with torch.inference_mode():
        return sum(int(model(**c.call).logits.argmax()) == c.label for c in cases) / len(cases)
