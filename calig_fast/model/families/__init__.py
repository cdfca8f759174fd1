"""Model families: one file each, found by name; a new family is a new file.

A family file defines `encoder(module, prefix)`: the `Encoder` if `module`, which lies at the dotted name `prefix` of
the user's model, is this family's backbone, else None. `refusal(module)`, where a file has it, returns why a module
that looks like the family cannot be explained, or None.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from torch import nn

from ..._utils.arguments import function, kind, text
from ..._utils.entry_points import load_entry_points
from ..block_search import list_names
from ..encoder import Encoder, Modality, children, name_of
from ._unread import unread

ENTRY_POINTS = "calig_fast.families"
Reader = Callable[[nn.Module, str], Encoder | None]


@dataclass(frozen=True)
class Family:
    """One family of models.

    Args:
        name: of the family, unique.
        encoder: (module, prefix) to the `Encoder` of a module that lies at the dotted name `prefix` of the model, None
            where the module is no backbone of this family.
        refusal: module to the reason why a module of this family cannot be explained, or None.
    """

    name: str
    encoder: Reader
    refusal: Callable[[nn.Module], str | None] = lambda module: None

    def __post_init__(self) -> None:
        text("name", self.name, "the name of the family")
        function("encoder", self.encoder, 2, "a function of a module and its dotted name")
        function("refusal", self.refusal, 1, "a function of a module")


_registered: dict[str, Family] = {}


def register_family(family: Family) -> Family:
    """Make a family of models known to `explain`; it is asked before the families of the package.

    Raises:
        TypeError: something else than a Family.
        ValueError: a family of the package has this name.
    """
    if not isinstance(family, Family):
        raise TypeError(f"family: expected a Family, got {type(family).__name__}")
    if family.name in _shipped():
        raise ValueError(f'family: "{family.name}" is a family of calig_fast; choose another name')
    _registered[family.name] = family
    return family


def names() -> tuple[str, ...]:
    """The families known, in the order they are asked."""
    return tuple(family.name for family in _families())


@cache
def _shipped() -> dict[str, Family]:
    """The families of this folder, one a file."""
    stems = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in stems}
    none = Family.refusal
    return {name: Family(name, m.encoder, getattr(m, "refusal", none)) for name, m in modules.items()}


@cache
def _installed() -> tuple[Family, ...]:
    return tuple(load_entry_points(ENTRY_POINTS, Family))


def _families() -> list[Family]:
    return [*_registered.values(), *_installed(), *_shipped().values()]


def find(model: nn.Module) -> Encoder | None:
    """The encoder inside `model`, from the first family that knows one of its modules; None where none does.

    Raises:
        ValueError: a family knows the model and knows that it cannot be explained.
    """
    families = _families()
    for prefix, module in model.named_modules():
        for family in families:
            encoder = family.encoder(module, prefix)
            if encoder is not None and not _beside_text(encoder, model, family):
                return _of_family(encoder, model, family)
            refusal = family.refusal(module)
            if refusal is not None and not isinstance(refusal, str):
                raise TypeError(
                    f'refusal: that of the family "{family.name}" must return a text or None, got {kind(refusal)}'
                )
            if refusal:
                raise ValueError(f"model: {refusal}")
    return None


def _beside_text(encoder: Any, model: nn.Module, family: Family) -> bool:
    """Return True for the vision tower of a model that reads text first, as a language model that is shown images."""
    text_first = getattr(model, "main_input_name", "") == "input_ids"
    return text_first and family is _shipped().get(family.name) and bool(encoder.modality == "image")


def _of_family(encoder: Encoder, model: nn.Module, family: Family) -> Encoder:
    """The encoder that a family found, checked where the family is not of the package."""
    if family is _shipped().get(family.name):
        return with_embedding(encoder, model)
    if not isinstance(encoder, Encoder):
        raise TypeError(
            f'encoder: that of the family "{family.name}" must return an Encoder or None, got {kind(encoder)}'
        )
    return given(model, encoder)


def with_embedding(encoder: Encoder, model: nn.Module) -> Encoder:
    """The encoder with the name of the model's word embedding, where it reads text and names none."""
    if encoder.modality != "text" or encoder.embedding is not None:
        return encoder
    return replace(encoder, embedding=_embedding(model))


def given(model: nn.Module, encoder: Encoder) -> Encoder:
    """An encoder that the caller made, its word embedding added where it names none.

    Raises:
        TypeError: no Encoder.
        ValueError: no blocks, or a block that is no module of the model.
    """
    if not isinstance(encoder, Encoder):
        raise TypeError(f"encoder: expected an Encoder, got {type(encoder).__name__}")
    modules = dict(model.named_modules())
    unknown = [name for name in encoder.blocks if name not in modules]
    for part, name in (("embedding", encoder.embedding), ("stem", encoder.stem)):
        if name is not None and (not name or name not in modules):
            raise ValueError(
                f"encoder: its {part} {name!r} is no module of {type(model).__name__}; name it as "
                "model.named_modules() does"
            )
    if unknown or not encoder.blocks:
        raise ValueError(
            f"encoder: its blocks {unknown or '()'} are not modules of {type(model).__name__}; name them as "
            "model.named_modules() does"
        )
    return with_embedding(encoder, model)


def named(model: nn.Module, layers: Sequence[str]) -> Encoder:
    """The encoder with the blocks that the caller named.

    Args:
        model: any model.
        layers: dotted names of block modules, or one dotted name of a list of them, in order of execution.

    Raises:
        ValueError: a name that is not a module of the model.
    """
    modules = dict(model.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown:
        lists = list_names(model)
        raise ValueError(f"layers: {unknown} are not modules of {type(model).__name__}; its lists of modules: {lists}")
    blocks = tuple(layers)
    if len(blocks) == 1 and isinstance(modules[blocks[0]], nn.ModuleList | nn.Sequential):
        blocks = children(model, blocks[0])
    return replace(unnamed(model), family="layers", blocks=blocks)


def unnamed(model: nn.Module) -> Encoder:
    """The encoder of a model that no family knows, its blocks still to be found."""
    pictures = _takes_pixels(model)
    word = None if pictures else _embedding(model)
    modality: Modality = "image" if pictures else "text"
    return Encoder(family="unknown", modality=modality, blocks=(), embedding=word, read=unread(model))


def of_modality(encoder: Encoder, model: nn.Module, modality: Modality | None) -> Encoder:
    """The encoder of a model that no family knows, once its inputs have shown what it reads."""
    if encoder.family not in {"unknown", "layers"} or modality in {None, encoder.modality}:
        return encoder
    return replace(encoder, modality=modality, embedding=_embedding(model) if modality == "text" else None)


def _takes_pixels(model: nn.Module) -> bool:
    """Return True where a model reads pixels, as its arguments say, or else its modules."""
    accepted = inspect.signature(model.forward).parameters
    if {"pixel_values", "input_ids"} & set(accepted):
        return "pixel_values" in accepted and "input_ids" not in accepted
    if getattr(model, "main_input_name", None) in {"pixel_values", "input_ids"}:
        return bool(model.main_input_name == "pixel_values")
    modules = list(model.modules())
    images = any(isinstance(m, nn.Conv2d) for m in modules)
    return images and not any(isinstance(m, nn.Embedding) for m in modules)


def _embedding(model: nn.Module) -> str | None:
    """Dotted name of the word embedding, where the model says which it is."""
    for module in model.modules():
        getter = getattr(module, "get_input_embeddings", None)
        if callable(getter):
            try:
                embedding = getter()
            except (AttributeError, NotImplementedError):
                continue
            if isinstance(embedding, nn.Embedding):
                return name_of(model, embedding)
    return None
