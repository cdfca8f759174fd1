"""Clothes in 28 by 28 pixels: a small ViT pre-trained by masking (MAE), then fine-tuned on Fashion-MNIST."""

from __future__ import annotations

from typing import Any

from PIL import Image

from . import weights
from .demo import Demo, Sample, first, take_turns

NAME = "fashion"
LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIDE = 28
MEAN, STD = 0.286, 0.353
SHEET = weights.DATA / "fashion.png"

# 49 patches of 4 by 4 pixels; the encoder of the masked autoencoder and the classifier share these sizes.
SIZES: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": SIDE,
    "patch_size": 4,
    "num_channels": 1,
    "qkv_bias": True,
}


def config() -> Any:
    """The classifier's `ViTConfig`."""
    from transformers import ViTConfig

    names = dict(enumerate(LABELS))
    return ViTConfig(**SIZES, id2label=names, label2id={name: index for index, name in names.items()})


def processor() -> Any:
    """A `ViTImageProcessor` for one-channel images: to [0, 1], minus the mean, over the standard deviation."""
    import transformers

    # Before release 5 the plain class took no one-channel image; from 5 on it is the fast one.
    old = int(transformers.__version__.split(".")[0]) < 5
    kind = getattr(transformers, "ViTImageProcessorFast" if old else "ViTImageProcessor")
    return kind(size={"height": SIDE, "width": SIDE}, image_mean=[MEAN], image_std=[STD])


def samples() -> list[Sample]:
    """The shipped test images: the sheet's rows are the classes, its columns the first test images of each."""
    with Image.open(SHEET) as sheet:
        columns = sheet.width // SIDE
        cells = [
            Sample(sheet.crop((SIDE * column, SIDE * row, SIDE * (column + 1), SIDE * (row + 1))), row)
            for row in range(len(LABELS))
            for column in range(columns)
        ]
    return take_turns(cells, len(LABELS))


def load(count: int) -> Demo:
    """The demo with `count` of the 120 shipped test images."""
    from transformers import ViTForImageClassification

    chosen = first(samples(), count)
    model = weights.build(ViTForImageClassification, config(), weights.read(NAME))
    return Demo(NAME, model, processor(), chosen, LABELS)
