"""A demo: a real classifier, its processor, and labelled inputs that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn


@dataclass(frozen=True)
class Sample:
    """One labelled input of a demo's held-out data.

    Args:
        input: the text, or the image (28 by 28, mode "L").
        label: index of the true class, into `Demo.labels`.
    """

    input: str | Image
    label: int


@dataclass(frozen=True)
class Demo:
    """A real classifier with labelled inputs it was not trained on.

    Args:
        name: the argument of `load`.
        model: a Hugging Face classifier in eval mode, float32, on the CPU.
        processor: the tokenizer, or the image processor.
        samples: held-out inputs, the classes taking turns.
        labels: class names, in the order of the logits.
    """

    name: str
    model: nn.Module
    processor: Any
    samples: tuple[Sample, ...]
    labels: tuple[str, ...]

    def __repr__(self) -> str:
        model = type(self.model).__name__
        return f"Demo({self.name!r}: {model}, {len(self.samples)} samples, labels {', '.join(self.labels)})"


def take_turns(samples: list[Sample], classes: int) -> list[Sample]:
    """The same samples with the classes taking turns for as long as each has one left, order kept within a class."""
    rank = [0] * classes
    keyed = []
    for sample in samples:
        keyed.append((rank[sample.label], sample.label, sample))
        rank[sample.label] += 1
    return [sample for _, _, sample in sorted(keyed, key=lambda entry: entry[:2])]


def first(samples: list[Sample], count: int) -> tuple[Sample, ...]:
    """The first `count` samples.

    Raises:
        ValueError: `count` is not between 1 and the number of samples there are.
    """
    if not 1 <= count <= len(samples):
        raise ValueError(f"count: expected 1 to {len(samples)}, the held-out samples this demo has; got {count}")
    return tuple(samples[:count])
