"""The workloads of the benchmark: a model, its inputs, their baselines, and its blocks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calig_fast.demo import load
from calig_fast.inputs.baseline import blur

BF16 = ("bf16", "bf16_scores")
ALL = ("captum", "oracle", "captum_single_n", "captum_min", "native", "scores", "ends", *BF16)
CLS, SEP, PAD = 101, 102, 0


@dataclass(frozen=True)
class Work:
    """One workload.

    Args:
        name: what `--work` takes.
        title: what it is, in words.
        model: the classifier, in eval mode, float32.
        blocks: dotted name of the list of its blocks.
        calls: the model's arguments, one input each, no padding.
        key: which argument is the input itself.
        lows: the baseline of each input, in the place of the argument `key`.
        warm: other inputs of the same kind, which an `Explainer` sees before it is timed.
        layers: blocks that every contender integrates at.
        truths: the inputs that are compared with a converged result.
        truth_dtype: dtype of that reference.
        contenders: which are measured, the one that the others are compared with first.
        batched: ours takes all inputs as one batch; else each in a call of its own.
    """

    name: str
    title: str
    model: nn.Module
    blocks: str
    calls: list[dict[str, Tensor]]
    key: str
    lows: list[Tensor]
    warm: list[dict[str, Tensor]]
    layers: tuple[int, ...]
    truths: tuple[int, ...] = (0,)
    truth_dtype: torch.dtype = torch.float64
    contenders: tuple[str, ...] = ALL
    batched: bool = False
    targets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.targets.extend(int(self.model(**call).logits.argmax()) for call in self.calls)

    @property
    def batch(self) -> dict[str, Tensor]:
        """All inputs as one batch, padded on the right."""
        if len(self.calls) == 1:
            return self.calls[0]
        return {
            name: nn.utils.rnn.pad_sequence([c[name][0] for c in self.calls], batch_first=True, padding_value=0)
            for name in self.calls[0]
        }

    @property
    def pieces(self) -> list[tuple[dict[str, Tensor], list[int]]]:
        """Our calls: each one's arguments and targets."""
        if self.batched:
            return [(self.batch, self.targets)]
        return [(call, [target]) for call, target in zip(self.calls, self.targets, strict=True)]

    @property
    def tokens(self) -> list[int]:
        """Tokens of each text input; an empty list for images."""
        return [c["input_ids"].shape[1] for c in self.calls] if self.key == "input_ids" else []


def minilm_128() -> Work:
    """Four news articles cut to 128 tokens, one at a time."""
    demo = load("topics", count=16)
    calls = [_text(demo.processor, sample.input, 128) for sample in demo.samples]
    return _texts(
        "minilm_128",
        "MiniLM-L6 (6 blocks, 384 wide) fine-tuned on BBC topics, 4 articles of 128 tokens, one call each, reference "
        "PAD; seconds for all four",
        demo.model,
        calls[:4],
        calls[4:],
        layers=range(6),
        truths=(0, 1, 2, 3),
    )


def minilm_512() -> Work:
    """A news article cut to 512 tokens."""
    demo = load("topics", count=60)
    calls = [_text(demo.processor, sample.input, 512) for sample in demo.samples]
    long = [call for call in calls if call["input_ids"].shape[1] == 512]
    title = "MiniLM-L6 as above, one article of 512 tokens, reference PAD"
    return _texts("minilm_512", title, demo.model, long[:1], long[1:7], layers=range(6), truth_dtype=torch.float32)


def ragged() -> Work:
    """Sixteen news articles of 20 to 512 tokens; lengths in geometric steps."""
    demo = load("topics", count=60)
    lengths = [round(20 * (512 / 20) ** (i / 15)) for i in range(16)]
    whole = [_text(demo.processor, sample.input, 512) for sample in demo.samples]
    long = [call for call in whole if call["input_ids"].shape[1] == 512]
    calls = [
        _text(demo.processor, demo.processor.decode(call["input_ids"][0, 1:-1]), length)
        for call, length in zip(long, lengths, strict=False)
    ]
    title = (
        f"MiniLM-L6 as above, 16 articles of {lengths[0]} to {lengths[-1]} tokens, {sum(lengths)} in all, reference "
        "PAD; one batch for ours, one article at a time for the oracle"
    )
    warm = [_text(demo.processor, sample.input, 128) for sample in demo.samples[-5:]]
    return _texts(
        "ragged",
        title,
        demo.model,
        calls,
        warm,
        layers=range(6),
        truths=(0, 5, 10),
        truth_dtype=torch.float32,
        contenders=("captum_padded", "captum_one_by_one", "oracle", "native", "scores", "ends", *BF16),
        batched=True,
    )


def vit_s14() -> Work:
    """A picture of 112 px through a real ViT-S/14."""
    return _vit("vit_s14", tests_models().vit_s14())


def vit_s14_224() -> Work:
    """A picture of 224 px through the same encoder, its positions interpolated to 16 by 16."""
    from transformers import ViTConfig, ViTForImageClassification

    from calig_fast.demo.weights import build

    models, side = tests_models(), 224
    source = models.vit_s14()
    tokens = torch.zeros(1, 1 + (side // models.PATCH) ** 2, source.config.hidden_size)
    places = models.dinov2_s14().dinov2.embeddings.interpolate_pos_encoding(tokens, side, side).detach()
    state = {**source.state_dict(), "vit.embeddings.position_embeddings": places}
    config = ViTConfig.from_dict({**source.config.to_dict(), "image_size": side})
    return _vit("vit_s14_224", build(ViTForImageClassification, config, state))


def _vit(name: str, model: Any) -> Work:
    side, patch = model.config.image_size, model.config.patch_size
    pictures = [picture(sample.input, side) for sample in load("fashion", count=6).samples]
    title = (
        f"ViT-S/14 (12 blocks, 384 wide, real encoder, seeded linear head), one {side} px picture, "
        f"{1 + (side // patch) ** 2} tokens, reference blur"
    )
    return of_pictures(name, title, model, pictures[:1], layers=range(12), warm=pictures[1:], truth_dtype=torch.float32)


def of_pictures(
    name: str,
    title: str,
    model: Any,
    pictures: list[Tensor],
    *,
    layers: Iterable[int],
    warm: Sequence[Tensor] = (),
    **more: Any,
) -> Work:
    """Pictures [1,3,H,W] through a ViT of transformers, their baselines blurred."""
    calls, others = ([{"pixel_values": p} for p in some] for some in (pictures, warm))
    lows = [blur(p) for p in pictures]
    return Work(name, title, model, "vit.layers", calls, "pixel_values", lows, others, tuple(layers), **more)


def bert_base_128() -> Work:
    """Random weights at BERT-base geometry."""
    return _bert_base(128, range(12))


def bert_base_512() -> Work:
    """The same at 512 tokens, at two of the twelve blocks alone."""
    return _bert_base(512, (0, 6))


WORKS: dict[str, Callable[[], Work]] = {
    f.__name__: f for f in (minilm_128, minilm_512, ragged, vit_s14, vit_s14_224, bert_base_128, bert_base_512)
}


def _bert_base(length: int, layers: Any) -> Work:
    from transformers import BertConfig, BertForSequenceClassification

    model = tests_models().seeded(BertForSequenceClassification(BertConfig(num_labels=5)))
    generator = torch.Generator().manual_seed(0)
    calls = []
    for _ in range(3):
        ids = torch.randint(1000, 30000, (1, length), generator=generator)
        ids[0, 0], ids[0, -1] = CLS, SEP
        calls.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    which = "all 12 blocks" if len(layers) == 12 else f"blocks {', '.join(map(str, layers))} alone, for every contender"
    title = f"BERT-base geometry with seeded random weights, {length} random tokens, reference PAD, {which}"
    # (c) is searched for, which takes too long at all twelve blocks
    contenders = tuple(n for n in ALL if len(layers) < 12 or not n.startswith("captum_"))
    return _texts(
        f"bert_base_{length}",
        title,
        model,
        calls[:1],
        calls[1:],
        layers=layers,
        truth_dtype=torch.float32,
        contenders=contenders,
    )


def _texts(
    name: str,
    title: str,
    model: nn.Module,
    calls: list[dict[str, Tensor]],
    warm: list[dict[str, Tensor]],
    *,
    layers: Any,
    **more: Any,
) -> Work:
    special = torch.tensor([CLS, SEP])
    lows = [torch.where(torch.isin(c["input_ids"], special), c["input_ids"], PAD) for c in calls]
    return Work(name, title, model, "bert.encoder.layer", calls, "input_ids", lows, warm, tuple(layers), **more)


def _text(tokenizer: Any, text: Any, length: int) -> dict[str, Tensor]:
    encoded = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def picture(image: Any, side: int) -> Tensor:
    """[1,3,side,side], normalised as the encoder was trained."""
    from torchvision.transforms.functional import pil_to_tensor

    x = pil_to_tensor(image.convert("RGB"))[None].float() / 255
    x = nn.functional.interpolate(x, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
    return (x - mean) / deviation


def tests_models() -> Any:
    """The models of the tests, `tests/support/helpers/real_models.py`."""
    folder = str(Path(__file__).parents[1] / "tests" / "support")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("helpers.real_models")
