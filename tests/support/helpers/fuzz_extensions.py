"""Families, methods, backends and encoders of one's own, made of odd parts and used at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from calig_fast import Backend, Encoder, Family, Fusion, Method, ZeroShot, explain, register_backend, register_family
from calig_fast.methods import registry as methods
from calig_fast.model import families
from calig_fast.ops import backend as backends
from helpers.fuzz_calls import Surface, image_model, linear_model, text_model
from helpers.fuzz_models import Small
from helpers.fuzz_values import fails, plain
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, SIZES, ids, pixels


@contextmanager
def _forgotten(known: dict[str, Any]) -> Iterator[None]:
    """Registrations made inside are not known outside."""
    before = dict(known)
    try:
        yield
    finally:
        known.clear()
        known.update(before)
        backends.known.cache_clear()


def _ids() -> Any:
    return ids(5)["input_ids"]


def _encoder(model: Any = None, **parts: Any) -> Any:
    given = {"family": "own", "modality": "text", "blocks": ("blocks.0", "blocks.1"), "embedding": "words", **parts}
    places: Any = Encoder(**given)
    return explain(model or linear_model(), _ids(), encoder=places, method="layer_ig", baselines=0, n_steps=2)


def _image_encoder(**parts: Any) -> Any:
    blocks = tuple(f"vit.layers.{i}" for i in range(2))
    names = dict(image_model().named_modules())
    blocks = blocks if blocks[0] in names else tuple(n for n in names if n.endswith(("layer.0", "layer.1")))
    given = {"family": "own", "modality": "image", "blocks": blocks, "prefix": 1, "patch": (4, 4), **parts}
    return explain(image_model(), pixels(1), encoder=Encoder(**given), method="layer_ig", n_steps=2)


def _family(name: Any, encoder: Any, refusal: Any = None) -> Any:
    with _forgotten(families._registered):
        more = {} if refusal is None else {"refusal": refusal}
        register_family(Family(name, encoder, **more))
        families.names()
        return explain(linear_model(), _ids(), method="layer_ig", baselines=0, n_steps=2)


def _method(*, by: str = "object", **parts: Any) -> Any:
    with _forgotten(methods._registered):
        made = Method(**parts)
        if by == "name":
            methods.register_method(made)
        return explain(text_model(), ids(6, 4), method=made.name if by == "name" else made, n_steps=2)


def _backend(name: Any, priority: Any, available: Any, module: Any = None, chosen: Any = None) -> Any:
    with _forgotten(backends._registered):
        more = {} if chosen is None else {"chosen": chosen}
        register_backend(Backend(name, priority, available, module, **more))
        explain(text_model(), ids(5), n_steps=1)
        return explain(text_model(), ids(5), n_steps=1, backend=name)


@cache
def _images_and_texts() -> Any:
    from transformers import CLIPConfig, CLIPModel

    words = {name: size for name, size in SIZES.items() if name != "num_labels"} | {"eos_token_id": 2}
    return seeded(CLIPModel(CLIPConfig(text_config=words, vision_config=PICTURE)))


def _zero_shot(texts: Any, names: Any = None, target: Any = 0) -> Any:
    return explain(ZeroShot(_images_and_texts(), texts, names), pixels(1), target=target, n_steps=2)


def _blocks(module: nn.Module, prefix: str) -> Encoder | None:
    return Encoder("own", "text", ("blocks.0", "blocks.1"), "words") if prefix == "" else None


def _kernels(package: str) -> str:
    return f"{package}.pytorch"


EXTENSIONS = [
    Surface(
        "encoder=Encoder",
        _encoder,
        {
            "family": plain("own"),
            "modality": plain("text"),
            "blocks": plain(("blocks.0", "blocks.1"), ["blocks.0"]),
            "embedding": plain("words", None),
            "max_length": plain(None, 40),
            "prefix": plain(0),
            "patch": plain(None),
            "normalisation": plain(None),
            "readout": {**plain(None), "mask": lambda: lambda mask: mask.float()},
            "read": plain(None),
            "stem": plain(None),
        },
        {
            "modality": plain("image", "audio"),
            "blocks": plain("blocks", ("blocks",), ("words", "head"), ("blocks.1", "blocks.0"), ("blocks.0",) * 2),
            "embedding": plain("head", "nowhere", ""),
            "max_length": plain(2, 0, -1),
            "readout": {
                "row": lambda: lambda mask: mask[0],
                "nan": lambda: lambda mask: mask * torch.nan,
                "none": lambda: lambda mask: None,
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "read": {
                "itself": lambda: lambda m: m,
                "none": lambda: lambda m: None,
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "stem": plain("nowhere", "words"),
            "model": {"small": lambda: seeded(Small()), "text": text_model},
        },
        weight=10,
        fixed=("readout", "read"),
    ),
    Surface(
        "encoder=Encoder(image)",
        _image_encoder,
        {
            "modality": plain("image"),
            "prefix": plain(1),
            "patch": plain((4, 4), None),
            "normalisation": plain(None, ((0.5,) * 3, (0.5,) * 3)),
            "stem": plain(None),
        },
        {
            "modality": plain("text"),
            "prefix": plain(0, 5, 99, -1),
            "patch": plain((3, 5), (0, 4), 4, (4,), (2**40, 1), ("4", "4")),
            "normalisation": plain((0.5, 0.5), ((0.5,), (0.5,)), ((0.5,) * 3, (0.0,) * 3), ((), ())),
            "stem": plain("classifier", "nowhere"),
        },
        weight=5,
    ),
    Surface(
        "ZeroShot",
        _zero_shot,
        {
            "texts": {"a call": lambda: ids(5, 4), "ids alone": lambda: {"input_ids": ids(5, 4)["input_ids"]}},
            "names": plain(None, ["a cat", "a dog"], ("a cat", "a dog")),
            "target": plain(None, 0, 1, "a dog"),
        },
        {
            "texts": {
                "none": dict,
                "no rows": lambda: {"input_ids": ids(5)["input_ids"][:0]},
                "numbers": lambda: {"input_ids": ids(5, 4)["input_ids"].float()},
                "uneven": lambda: {**ids(5, 4), "attention_mask": ids(5)["attention_mask"]},
                "pixels": lambda: {**ids(5, 4), "pixel_values": pixels(2)},
                "a tensor": _ids,
                "beyond the words": lambda: {"input_ids": ids(5, 4)["input_ids"] + 10**6},
                **plain(3, "a cat", None),
            },
            "names": plain("ab", ["a cat"], [1, 2], 3),
            "target": plain(2, -1, "a car", 0.5),
        },
        ("texts",),
        5,
    ),
    Surface(
        "register_family(Family)",
        _family,
        {
            "name": plain("own"),
            "encoder": {"blocks": lambda: _blocks, "none": lambda: lambda module, prefix: None},
            "refusal": {
                **plain(None),
                "none": lambda: lambda module: None,
                "why": lambda: lambda module: "it is of a kind that cannot be explained",
            },
        },
        {
            "name": plain("bert", "", None, 3),
            "encoder": {
                "one argument": lambda: lambda module: None,
                "a text": lambda: lambda module, prefix: "blocks",
                "no blocks": lambda: lambda module, prefix: Encoder("own", "text", ()),
                "wrong blocks": lambda: lambda module, prefix: Encoder("own", "text", ("nowhere",)),
                "names alone": lambda: lambda module, prefix: Encoder("own", "text", "blocks"),  # type: ignore[arg-type]
                "everything": lambda: lambda module, prefix: module,
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "refusal": {"number": lambda: lambda module: 3, "fails": lambda: fails, **plain(3, "x")},
        },
        ("name", "encoder"),
        8,
        fixed=("encoder", "refusal"),
    ),
    Surface(
        "register_method(Method)",
        _method,
        {
            "name": plain("own"),
            "integral": plain("layer", "input", "none"),
            "maps": plain(None, "gradient", "positive_gradient", "attention"),
            "read": {"product": lambda: lambda s: (s.product.sum(1), s.product)},
            "fusion": {**plain(None), "Fusion": Fusion},
            "by": plain("object", "name"),
        },
        {
            "name": plain("ig", "", None, 3),
            "integral": plain("path", None, 3),
            "maps": plain("grad", 3, "none"),
            "read": {
                "none": lambda: lambda s: None,
                "one": lambda: lambda s: s.product.sum(1),
                "three": lambda: lambda s: (s.product, s.product, s.product),
                "text": lambda: lambda s: ("a", "b"),
                "wrong shape": lambda: lambda s: (s.product, s.product),
                "arrays": lambda: lambda s: (s.product.sum(1).numpy(), s.product.numpy()),
                "lists": lambda: lambda s: (s.product.sum(1).tolist(), s.product.tolist()),
                "nan": lambda: lambda s: (s.product.sum(1) * torch.nan, s.product),
                "ints": lambda: lambda s: (s.product.sum(1).long(), s.product.long()),
                "complex": lambda: lambda s: (s.product.sum(1) * 1j, s.product * 1j),
                "relevance": lambda: lambda s: (s.relevance.sum(1), s.relevance),
                "maps": lambda: lambda s: (s.maps[0].sum(1), s.product),
                "no argument": lambda: lambda: None,
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "by": plain("object", "name"),
        },
        ("name", "integral", "maps", "read"),
        12,
        fixed=("by", "read"),
    ),
    Surface(
        "register_backend(Backend)",
        _backend,
        {
            "name": plain("own"),
            "priority": plain(-1, 99),
            "available": {"yes": lambda: lambda: None, "no": lambda: lambda: "not here"},
            "module": {**plain(None), "kernels": lambda: _kernels, "none": lambda: lambda package: None},
            "chosen": {**plain(None), "no": lambda: lambda: False},
        },
        {
            "name": plain("cpu", "auto", "", None, 3),
            "priority": plain("high", None, float("nan")),
            "available": {
                "false": lambda: lambda: False,
                "argument": lambda: lambda x: None,
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "module": {
                "nowhere": lambda: lambda package: "no.such.module",
                "number": lambda: lambda package: 3,
                "os": lambda: lambda package: "os",
                "fails": lambda: fails,
                **plain(3, "x"),
            },
            "chosen": {"fails": lambda: fails, **plain(3, "x"), "text": lambda: lambda: "no"},
        },
        ("name", "priority", "available"),
        8,
        fixed=("available", "module", "chosen"),
    ),
]
