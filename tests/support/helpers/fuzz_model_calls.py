"""Calls of `explain` and of an `Explainer` with models and inputs of every kind."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from calig_fast import Explainer, explain
from helpers.fuzz_calls import NEAR, OPTIONS, Surface, image_model, text_model
from helpers.fuzz_inputs import ODD_IMAGES, ODD_TEXTS
from helpers.fuzz_models import MADE, PICTURES
from helpers.fuzz_values import Values, plain
from helpers.tiny_models import ids, pixels


def _values(makers: dict[str, Callable[[], Any]]) -> Values:
    """One object of each, made once."""
    return {name: functools.cache(maker) for name, maker in makers.items()}


def unchanged(model: Any, inputs: Any, call: Callable[[], Any]) -> Any:
    """Make a call, and raise where it changed the weights, the mode or the methods of its model."""
    if not isinstance(model, nn.Module):
        return call()
    parts = {name: (m.training, sorted(vars(m))) for name, m in model.named_modules()}
    weights = {name: (id(w), w._version, w.requires_grad, w.grad) for name, w in model.named_parameters()}
    try:
        return call()
    finally:
        now = {name: (m.training, sorted(vars(m))) for name, m in model.named_modules()}
        if {n: v for n, v in now.items() if v != parts.get(n)} and "count" not in vars(model):
            raise AssertionError(f"the model changed: {[n for n in now if now[n] != parts.get(n)]}")
        found = {name: (id(w), w._version, w.requires_grad, w.grad) for name, w in model.named_parameters()}
        if found != weights:
            raise AssertionError("the weights of the model changed")


def _explained(model: Any, inputs: Any, **options: Any) -> Any:
    return unchanged(model, inputs, lambda: explain(model, inputs, **options))


def _plain_method(model: Any, inputs: Any, **options: Any) -> Any:
    return _explained(model, inputs, **{"method": "layer_ig", "n_steps": 2, "baselines": 0, **options})


def _plain_picture(model: Any, inputs: Any, **options: Any) -> Any:
    return _explained(model, inputs, **{"method": "layer_ig", "n_steps": 2, **options})


@functools.cache
def _processor() -> Any:
    from transformers import ViTImageProcessor

    return ViTImageProcessor(size={"height": 16, "width": 16})


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(("[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "text", "b"))}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _read(inputs: Any, kind: str, **options: Any) -> Any:
    """A classifier of text or of images, with its tokenizer or processor in every second kind of call."""
    model = text_model() if kind == "text" else image_model()
    return explain(model, inputs, **{"n_steps": 1, **options})


def _named_blocks(model: Any, inputs: Any, **options: Any) -> Any:
    return _plain_method(model, inputs, **{"layers": "blocks", **options})


def _again(model: Any, inputs: Any, then: Any, first: Any = None, **options: Any) -> Any:
    """Two calls of one explainer, the second with options of its own."""
    explainer = Explainer(model, n_steps=2)
    with contextlib.suppress(ValueError, TypeError):
        explainer(inputs, **({} if first is None else {"target": first}))
    return explainer(then, **options)


IDS: Values = {"ids": lambda: ids(6, 4), "one": lambda: ids(5), "tensor": lambda: ids(6)["input_ids"]}
SHOWN: Values = {"two": lambda: pixels(2), "one": lambda: pixels(1)}
FEWER = {name: OPTIONS[name] for name in ("target", "output", "dtype", "layers", "engine", "method", "baselines")}
LAYERS: Values = {
    **NEAR["layers"],
    **plain(["head"], ["words"], "blocks", ["blocks.0"], ["blocks.1", "blocks.0"], ["blocks.0", "head"], ["bert"]),
    **plain("bert.encoder.layer", ["bert.embeddings"], ["classifier"], [""], ["blocks.0", "blocks.0"]),
}
TEXT_CALLS = {"": (_explained, 15), ", layer_ig": (_plain_method, 25), ", blocks": (_named_blocks, 20)}
IMAGE_CALLS = {"": (_explained, 10), ", layer_ig": (_plain_picture, 10)}
MODELS = [
    *[
        Surface(
            f"explain(any model{name})",
            call,
            {"model": _values(MADE), "inputs": IDS, **FEWER},
            {**NEAR, "inputs": ODD_TEXTS, "layers": LAYERS},
            ("model", "inputs"),
            weight,
            fixed=("model",),
        )
        for name, (call, weight) in TEXT_CALLS.items()
    ],
    *[
        Surface(
            f"explain(any image model{name})",
            call,
            {"model": _values(PICTURES), "inputs": SHOWN, **FEWER, "baselines": plain(None, "blur", "mean", "zeros")},
            {**NEAR, "inputs": ODD_IMAGES, "layers": LAYERS},
            ("model", "inputs"),
            weight,
            fixed=("model",),
        )
        for name, (call, weight) in IMAGE_CALLS.items()
    ],
    Surface(
        "explain(BERT, odd inputs)",
        _read,
        {"inputs": ODD_TEXTS, "processor": {"tokenizer": _tokenizer}, "kind": plain("text")},
        {"inputs": ODD_TEXTS, "processor": NEAR["processor"]},
        ("inputs", "kind"),
        20,
        fixed=("kind", "inputs"),
    ),
    Surface(
        "explain(ViT, odd inputs)",
        _read,
        {"inputs": ODD_IMAGES, "processor": {"ViT": _processor}, "kind": plain("image")},
        {"inputs": ODD_IMAGES, "processor": NEAR["processor"]},
        ("inputs", "kind"),
        20,
        fixed=("kind", "inputs"),
    ),
    Surface(
        "Explainer, twice",
        _again,
        {
            "model": {**_values(PICTURES), **_values(MADE), "text": text_model, "image": image_model},
            "inputs": {**IDS, **SHOWN},
            "then": {**IDS, **SHOWN},
            "first": OPTIONS["target"],
            **FEWER,
        },
        {**NEAR, "inputs": {**ODD_TEXTS, **ODD_IMAGES}, "then": {**ODD_TEXTS, **ODD_IMAGES}, "layers": LAYERS},
        ("model", "inputs", "then"),
        10,
        fixed=("model", "inputs", "then"),
    ),
]
