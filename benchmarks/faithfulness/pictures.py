"""Images: clothes through a ViT that was pre-trained by masking, and through a real ViT-S/14."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.faithfulness.task import Case, Task, accuracy, kept, parted
from benchmarks.works import picture, tests_models
from calig_fast.demo import fashion as clothes
from calig_fast.demo import load

PROBE_STEPS = 400


def fashion(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """Fashion-MNIST test images through the demo's ViT-MAE."""
    demo = load("fashion", count=sizes["tune"] + sizes["held"])
    cases = [Case(dict(demo.processor(s.input, return_tensors="pt")), s.label) for s in demo.samples]
    tune, held, _ = parted(cases, sizes)
    facts = {"accuracy": accuracy(demo.model, held), "accuracy_on": len(held), "patches": 49}
    title = "Clothes (Fashion-MNIST), 49 patches; a ViT pre-trained by masking (MAE), then fine-tuned"
    return Task("fashion", title, "image", demo.model, demo.processor, tune, held, facts=facts)


def vit(data: Path, cache: Path, sizes: dict[str, int]) -> Task:
    """The same clothes at 112 by 112 pixels through ViT-S/14, with a head trained on 70 of the shipped images."""
    model = tests_models().vit_s14()
    samples = clothes.samples()
    calls = [{"pixel_values": picture(s.input, model.config.image_size)} for s in samples]
    taught = 70

    def make() -> dict[str, Tensor]:
        with torch.no_grad():
            states = torch.cat([model.vit(**call).last_hidden_state[:, 0] for call in calls[:taught]])
        return _probe(states, torch.tensor([s.label for s in samples[:taught]]))

    head = kept(cache, "vit-head", make)
    model.classifier = nn.Linear(384, len(clothes.LABELS))
    model.classifier.load_state_dict(head)
    model.eval()
    cases = [Case(call, s.label) for call, s in zip(calls[taught:], samples[taught:], strict=True)]
    tune, held, _ = parted(cases, sizes)
    facts = {"accuracy": accuracy(model, cases), "accuracy_on": len(cases), "patches": 64}
    title = "The same clothes, 64 patches; ViT-S/14 pre-trained by DINOv2, a linear head taught by 70 of them"
    return Task("vit", title, "image", model, Normalised(), tune, held, facts=facts)


@dataclass(frozen=True)
class Normalised:
    """The part of an image processor that `explain` reads: the statistics of the normalisation."""

    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    do_normalize: bool = True


def _probe(states: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """A linear head by full-batch descent with weight decay."""
    torch.manual_seed(0)
    head = nn.Linear(states.shape[1], len(clothes.LABELS))
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(PROBE_STEPS):
        loss = nn.functional.cross_entropy(head(states), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(head.state_dict())
