"""Models, their inputs and their baselines: the shipped ones, and random ones of 2, 12 and 24 blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from calig_fast.demo import load
from calig_fast.demo.demo import Demo, Sample

WORDS = 8  # of a text: longer ones cost more and are no harder
COUNT = 120  # inputs of a group, in turn
TEXT = ("pad", "mask", "unk", "zero_embedding", "zeros")
IMAGE = ("blur", "mean", "black", "zeros")
VOCABULARY, PAD, MASK, UNK, CLS, SEP = 60, 0, 3, 4, 1, 2


@dataclass(frozen=True)
class Group:
    """One model with one kind of input.

    Args:
        name: for the table.
        model: in float32, in eval mode.
        processor: its tokenizer or image processor, or None.
        inputs: as `Explainer` takes them, one by one.
        baselines: names, or ids.
        images: the inputs are images, which CA-LIG fuses by options of their own.
    """

    name: str
    model: nn.Module
    processor: Any
    inputs: tuple[Any, ...]
    baselines: tuple[Any, ...]
    images: bool = False


def sentiment(draw: int) -> Group:
    """Film sentences, their first words."""
    d, samples = _samples("sentiment", draw)
    texts = tuple(" ".join(s.input.split()[:WORDS]) for s in samples)
    return Group("sentiment", d.model, d.processor, texts, TEXT)


def topics(draw: int) -> Group:
    """News articles, their first words."""
    d, samples = _samples("topics", draw)
    texts = tuple(" ".join(s.input.split()[:WORDS]) for s in samples)
    return Group("topics", d.model, d.processor, texts, ("pad", "mask", "zeros"))


def clothes(draw: int) -> Group:
    """Images of clothes."""
    d, samples = _samples("fashion", draw)
    return Group("clothes", d.model, d.processor, tuple(s.input for s in samples), IMAGE, images=True)


def _samples(name: str, draw: int) -> tuple[Demo, tuple[Sample, ...]]:
    """A demonstration and its samples; every draw begins at another third of them."""
    d = load(name, count=COUNT)
    first = COUNT // 3 * draw % COUNT
    return d, tuple(d.samples[first:] + d.samples[:first])


def constant_images(draw: int) -> Group:
    """Images of one grey each, through the model of clothes."""
    from PIL import Image

    d = load("fashion", count=1)
    images = tuple(Image.new("L", (28, 28), level) for level in range(8 - draw % 8, 256, 8))
    return Group("constant images", d.model, d.processor, images, ("black", "zeros"), images=True)


def tiny(depth: int, kind: str = "", draw: int = 0) -> Group:
    """Random ids through a random BERT.

    Args:
        depth: blocks.
        kind: "sharp" for saturated attention, "relu" for kinks, "spiked" for one unit of 60 times the others' size,
            "" for none of them.
        draw: of the weights and the ids.
    """
    model = tiny_bert(depth, kind, draw)
    generator = torch.Generator().manual_seed(depth + 1000 * draw)
    inputs = tuple(_ids(generator, 6 + i % 7) for i in range(COUNT))
    name = f"random BERT, {depth} blocks" + (f", {kind}" if kind else "")
    return Group(name, model, None, inputs, (PAD, MASK, UNK, "zeros"))


@cache
def tiny_bert(depth: int, kind: str = "", draw: int = 0) -> Any:
    """A BERT of 32 units with random weights, large enough to be far from linear; see `tiny`."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7 + depth + 1000 * draw)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=depth,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        num_labels=4,
        pad_token_id=PAD,
        initializer_range=0.15,
        hidden_act="relu" if kind == "relu" else "gelu",
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if kind == "sharp" and name.endswith("query.weight"):
                weight.mul_(12.0)
            if kind == "spiked" and name.endswith("LayerNorm.weight"):
                weight[3] = 60.0
            if weight.dim() == 1 and name.endswith("bias"):
                weight.copy_(0.1 * torch.randn(weight.shape))
    return model


def _ids(generator: torch.Generator, length: int) -> dict[str, Tensor]:
    ids = torch.randint(5, VOCABULARY, (1, length), generator=generator)
    ids[0, 0], ids[0, -1] = CLS, SEP
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


# by the draw: another begins at other inputs, and random models have other weights
GROUPS: dict[str, Callable[[int], Group]] = {
    "sentiment": sentiment,
    "clothes": clothes,
    "topics": topics,
    "constant": constant_images,
    "bert2": lambda draw: tiny(2, draw=draw),
    "bert12": lambda draw: tiny(12, draw=draw),
    "bert24": lambda draw: tiny(24, draw=draw),
    "bert2sharp": lambda draw: tiny(2, "sharp", draw),
    "bert2relu": lambda draw: tiny(2, "relu", draw),
    "bert2spiked": lambda draw: tiny(2, "spiked", draw),
}


def turns(names: list[str], size: int, draw: int = 0) -> Iterator[tuple[Group, Any, int, tuple[Any, ...]]]:
    """Group, baseline, first index and a few inputs; groups and baselines take turns until the inputs end."""
    groups = [GROUPS[name](draw) for name in names]
    for start in range(0, COUNT, size):
        for k in range(max(len(g.baselines) for g in groups)):
            for group in groups:
                given = tuple(islice(group.inputs, start, start + size))
                if k < len(group.baselines) and given:
                    yield group, group.baselines[k], start, given


def together(inputs: tuple[Any, ...]) -> Any:
    """The inputs as one call takes them: a list, or ids padded to one length."""
    if not isinstance(inputs[0], dict):
        return list(inputs)
    return {
        name: nn.utils.rnn.pad_sequence([one[name][0] for one in inputs], batch_first=True, padding_value=PAD)
        for name in inputs[0]
    }
