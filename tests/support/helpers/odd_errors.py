"""Errors of models, inputs and extensions of rare kinds."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from calig_fast import Encoder, Method, ZeroShot, explain, from_pretrained
from helpers.tiny_models import PICTURE, SIZES, Linear, ids, pixels, tiny

X = ids(7)


def fails(*texts, **options):
    raise KeyError("of the tokenizer's own")


def of_method(read):
    return lambda: explain(tiny("bert"), X, method=Method("own", "none", None, read))


def of_encoder(**parts):
    blocks = ("blocks.0", "blocks.1")
    return lambda: explain(
        Linear(), X["input_ids"], engine="native", encoder=Encoder("own", "text", blocks, **parts), **OWN_BLOCKS
    )


class Complex(Linear):
    """A model of complex logits."""

    def forward(self, input_ids):
        return super().forward(input_ids) * 1j


class Blind(Linear):
    """A model that is always run without gradients."""

    @torch.no_grad()
    def forward(self, input_ids):
        return super().forward(input_ids)


class OneRow(Linear):
    """A model that takes one input at a time."""

    def forward(self, input_ids):
        if len(input_ids) > 1:
            raise IndexError("one at a time")
        return super().forward(input_ids)


def images_and_texts():
    from transformers import CLIPConfig, CLIPModel

    words = {name: size for name, size in SIZES.items() if name != "num_labels"}
    return CLIPModel(CLIPConfig(text_config={**words, "eos_token_id": 2}, vision_config=PICTURE))


def of_pipeline():
    from transformers import pipeline

    from helpers.real_models import minilm_tokenizer

    return pipeline(
        "text-classification", model=tiny("bert"), tokenizer=minilm_tokenizer(), device="cpu", add_special_tokens=False
    )


OWN_BLOCKS = {"method": "layer_ig", "baselines": 0}
ODD_CASES = [
    (ValueError, lambda: from_pretrained("no such/model")),
    (TypeError, lambda: from_pretrained(3)),
    (TypeError, lambda: explain(tiny("bert"), DataLoader([(X["input_ids"][0], X["input_ids"][0])]))),
    (ValueError, lambda: explain(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), X)),
    (ValueError, lambda: explain(nn.Linear(2, 2, dtype=torch.complex64), X)),
    (TypeError, lambda: explain(Complex(), X["input_ids"], layers="blocks", **OWN_BLOCKS)),
    (TypeError, lambda: explain(tiny("bert"), np.array(["2020-01-01"], dtype="datetime64"))),
    (ValueError, lambda: explain(tiny("bert"), np.ma.masked_array([[5, 6]], mask=[[True, False]]))),
    (TypeError, lambda: explain(tiny("bert"), {1: X["input_ids"]})),
    (ValueError, lambda: explain(tiny("bert"), (1 // 0 for _ in range(2)))),
    (ValueError, lambda: explain(tiny("bert"), "two words", fails)),
    (ValueError, lambda: explain(Blind(), X["input_ids"], layers="blocks", **OWN_BLOCKS)),
    (ValueError, lambda: explain(OneRow(), X["input_ids"], layers="blocks", **OWN_BLOCKS)),
    (ValueError, lambda: explain(of_pipeline(), "two words")),
    (TypeError, lambda: explain(tiny("bert"), "two words", object())),
    (ValueError, lambda: explain(images_and_texts(), {"pixel_values": pixels(1), "input_ids": X["input_ids"]})),
    (ValueError, lambda: explain(ZeroShot(tiny("vit"), {"interpolate_pos_encoding": torch.ones(1)}), pixels(1))),
    (TypeError, lambda: ZeroShot(tiny("vit"), X["input_ids"])),
    (ValueError, lambda: ZeroShot(tiny("vit"), {**X, "more": torch.ones(2, 2)})),
    (ValueError, lambda: ZeroShot(tiny("vit"), {**X, "pixel_values": pixels(1)})),
    (ValueError, lambda: ZeroShot(tiny("vit"), X, ["a cat", "a dog"])),
    (TypeError, of_encoder(read=lambda module: module)),
    (ValueError, of_encoder(stem="nowhere")),
    (TypeError, of_method(lambda signals: None)),
    (ValueError, of_method(lambda signals: (signals.product, signals.product))),
]
