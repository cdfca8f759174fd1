"""Conversion of the user's inputs to the model's arguments, with mask, special tokens, and names for the tokens."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.warn import warn
from ..model.encoder import Encoder
from ..results.tokens import Grid, Text
from . import image as pictures
from . import image_patches as patches
from . import text as writing
from .image_layout import seen_grid
from .image_picture import is_image
from .image_processor import Normalisation

_NOT_FOR_THE_MODEL = {"labels", "offset_mapping", "special_tokens_mask", "overflow_to_sample_mapping", "length"}


@dataclass(frozen=True)
class Inputs:
    """A batch, ready for the model.

    Args:
        call: the model's arguments, each [B,...]; a sole unnamed one stands under "".
        vocabulary: rows of the word embedding, or None.
        ids: [B,T] token ids, or None.
        embeds: name of the argument that carries embeddings instead of ids, or None.
        mask: [B,T] bool, real tokens; [B,0] for images, whose tokens are counted when the model runs.
        special: [B,T] bool, special tokens.
        texts: names of the tokens, or None.
        shown: [B,H,W,3] uint8 for display, or None.
        normalisation: mean and standard deviation of the pixels, or None.
        tokenizer: the tokenizer, or None.
        padding: the model's padding id, or None.
        convolution: that makes patches of pixels, or None.
        seen: where the model was seen to place the patches, or None.
    """

    call: dict[str, Tensor]
    vocabulary: int | None
    ids: Tensor | None
    embeds: str | None
    mask: Tensor
    special: Tensor
    texts: tuple[Text, ...] | None
    shown: Tensor | None
    normalisation: Normalisation | None
    tokenizer: Any
    padding: int | None
    convolution: patches.PatchConvolution | None = None
    seen: Grid | None = None

    def __len__(self) -> int:
        return int(next(iter(self.call.values())).shape[0])

    def take(self, rows: slice) -> Inputs:
        """Some of the inputs."""
        return replace(
            self,
            call={k: v[rows] for k, v in self.call.items()},
            ids=None if self.ids is None else self.ids[rows],
            mask=self.mask[rows],
            special=self.special[rows],
            texts=None if self.texts is None else self.texts[rows],
            shown=None if self.shown is None else self.shown[rows],
        )

    @property
    def ids_name(self) -> str:
        """Name of the argument that carries the token ids."""
        ids = self.ids
        if ids is None:
            raise RuntimeError("the inputs hold no token ids")
        same = (k for k, v in self.call.items() if isinstance(v, Tensor) and v.shape == ids.shape)
        return next(k for k in same if torch.equal(self.call[k], ids))

    @property
    def pixels(self) -> tuple[str, Tensor]:
        """The name of the pixel argument, and the pixels [B,C,H,W]."""
        floats = [(k, v) for k, v in self.call.items() if isinstance(v, Tensor) and v.is_floating_point()]
        found = [(k, v) for k, v in floats if v.dim() == 4]
        return next((pair for pair in found if pair[0] == "pixel_values"), found[0])

    def black(self, pixels: Tensor) -> Tensor:
        """A black image, as the model's normalisation writes black.

        Raises:
            ValueError: the normalisation is not known.
        """
        return pictures.black(pixels, self.normalisation)

    def mean(self, pixels: Tensor) -> Tensor:
        """An image of the mean colour that the model's normalisation subtracts.

        Raises:
            ValueError: it is known to subtract none.
        """
        return pictures.mean(pixels, self.normalisation)

    def token_id(self, name: str) -> int:
        """The id of "pad", "mask" or "unk".

        Raises:
            ValueError: neither tokenizer nor model knows it.
        """
        found = getattr(self.tokenizer, f"{name}_token_id", None)
        if found is None and name == "pad":
            found = self.padding
        if found is None:
            has = "the tokenizer has no such token" if self.tokenizer is not None else "no tokenizer was given"
            raise ValueError(
                f'baselines: "{name}" needs the id of the {name} token, and {has}; pass tokenizer=, an id, or '
                'baselines="zero_embedding"'
            )
        return int(found)

    def check_ids(self, ids: Tensor, name: str) -> None:
        """Raise where ids are outside the model's vocabulary.

        Raises:
            ValueError: naming the largest id.
        """
        if self.vocabulary is not None and ids.numel():
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high >= self.vocabulary:
                raise ValueError(
                    f"{name}: ids from {low} to {high}, and the model's vocabulary has {self.vocabulary}; ids of "
                    "another tokenizer do not fit the model: use the tokenizer the model was trained with"
                )

    def check_tokens(self, tokens: int) -> None:
        """Raise where the model sees another number of tokens than the text holds.

        Raises:
            ValueError: naming both.
        """
        if self.mask.shape[1] != tokens:
            raise ValueError(
                f"model: it sees {tokens} tokens where the inputs hold {self.mask.shape[1]}; models that add or drop "
                "tokens cannot be explained token by token"
            )

    def with_added(self, before: int, after: int) -> Inputs:
        """The same texts in a model that puts tokens of its own before and after them; they count as special."""

        def wider(mask: Tensor) -> Tensor:
            return torch.nn.functional.pad(mask, (before, after), value=True)

        texts = None if self.texts is None else tuple(text.with_added(before, after) for text in self.texts)
        return replace(self, mask=wider(self.mask), special=wider(self.special), texts=texts)

    def grid(self, encoder: Encoder, tokens: int) -> Grid | None:
        """The grid of the images' tokens; None for text."""
        if self.texts is not None:
            return None
        seen = self.seen
        if seen is not None and seen.prefix + seen.rows * seen.columns == tokens:
            return seen
        return patches.grid(self.pixels[1], encoder, tokens, self.convolution)


def read(inputs: Any, model: nn.Module, encoder: Encoder, processor: Any) -> Inputs:
    """Convert the user's inputs to the model's arguments.

    Args:
        inputs: text (str, list of str, a pair as a tuple, a list of pairs), a mapping of tensors, ids [T] or [B,T],
            pixels [C,H,W] or [B,C,H,W], a picture (PIL image, path, array) or several.
        model: the module that computes.
        encoder: its blocks and its inputs.
        processor: tokenizer or image processor, or None.

    Raises:
        ValueError: nothing to explain, text too long as ids, ids outside the vocabulary, a mask without real tokens,
            tensors on another device than the model.
        TypeError: something that is none of the above.
    """
    if encoder.modality == "text":
        processor = processor or writing.local_tokenizer(model)
    arguments, texts = _arguments(inputs, model, encoder, processor)
    device = next(model.parameters()).device
    for name, value in arguments.items():
        if value.device != device:
            raise ValueError(
                f"inputs: {name or 'the tensor'} is on {value.device}, the model on {device}; move one: "
                f'inputs.to("{device}")'
            )
    arguments = {k: v.clone() if v.is_inference() else v for k, v in arguments.items()}
    pictures.refuse_videos(arguments)
    if encoder.modality == "image":
        return _images(arguments, inputs, model, encoder, processor)
    return _texts(arguments, texts, inputs, model, encoder, processor)


def _arguments(
    inputs: Any, model: nn.Module, encoder: Encoder, processor: Any
) -> tuple[dict[str, Tensor], writing.Encoded | None]:
    accepted = inspect.signature(model.forward).parameters
    if isinstance(inputs, Mapping) or isinstance(getattr(inputs, "data", None), Mapping):
        return _mapping(inputs, accepted), None
    if encoder.modality == "image":
        return pictures.arguments(inputs, model, processor, patches.patch_convolution(model, encoder)), None
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(inputs).to(next(model.parameters()).device)
    if isinstance(inputs, Tensor):
        if inputs.is_floating_point():
            pictures.refuse_videos({"": inputs})
            raise TypeError(
                f"inputs: the model reads integer ids [B,T], got a {inputs.dtype} tensor {list(inputs.shape)}"
            )
        batched = inputs if inputs.dim() == 2 else inputs[None]
        if batched.dim() != 2:
            raise ValueError(f"inputs: expected a tensor [T] or [B,T], got {list(inputs.shape)}")
        return {"input_ids" if "input_ids" in accepted else "": batched}, None
    if is_image(inputs) or (isinstance(inputs, list | tuple) and any(map(is_image, inputs))):
        raise TypeError("inputs: the model reads integer ids [B,T] or text, got a picture")
    if isinstance(inputs, str | Sequence):
        encoded = writing.encode(inputs, processor, encoder.max_length)
        device = next(model.parameters()).device
        return _mapping(encoded.encoding.to(device), accepted), encoded
    raise TypeError(
        "inputs: expected text, a mapping of tensors, a tensor of ids or pixels, or PIL images, got "
        f"{type(inputs).__name__}"
    )


def _mapping(inputs: Any, accepted: Mapping[str, inspect.Parameter]) -> dict[str, Tensor]:
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    out = {}
    for name, value in dict(inputs).items():
        if name in _NOT_FOR_THE_MODEL or value is None:
            continue
        try:
            tensor = torch.as_tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise TypeError(
                f"inputs: {name} is no tensor and cannot be made one ({error}); for a tokenizer pass "
                'return_tensors="pt", padding=True'
            ) from error
        if name not in accepted and not open_ended:
            raise ValueError(
                f"inputs: the model's forward takes no {name!r} (it takes {sorted(accepted)}); this tokenizer does not "
                "fit the model, or the key is not an input: leave it out"
            )
        out[name] = tensor[None] if tensor.dim() == 1 else tensor
    if not out:
        raise ValueError("inputs: the mapping holds no tensor for the model")
    batch = {name: v.shape[0] for name, v in out.items()}
    if len(set(batch.values())) > 1:
        raise ValueError(f"inputs: every tensor needs the same number of rows, got {batch}")
    return out


def _images(arguments: dict[str, Tensor], given: Any, model: nn.Module, encoder: Encoder, processor: Any) -> Inputs:
    convolution = patches.patch_convolution(model, encoder)
    name, call = pictures.checked(arguments, model, convolution)
    pixels: Tensor = call[name]
    empty = torch.zeros(len(pixels), 0, dtype=torch.bool, device=pixels.device)
    normalisation = pictures.normalisation(processor, pixels, encoder)
    pictures.warn_unnormalised(given, pixels, normalisation)
    return Inputs(
        call=call,
        vocabulary=None,
        ids=None,
        embeds=None,
        mask=empty,
        special=empty,
        texts=None,
        shown=pictures.shown(pixels, normalisation),
        normalisation=normalisation,
        tokenizer=None,
        padding=None,
        convolution=convolution,
        seen=seen_grid(model, encoder, call, name, convolution),
    )


def _texts(
    arguments: dict[str, Tensor],
    encoded: writing.Encoded | None,
    inputs: Any,
    model: nn.Module,
    encoder: Encoder,
    tokenizer: Any,
) -> Inputs:
    ids = next((v for v in arguments.values() if not v.is_floating_point() and v.dim() == 2), None)
    name = next((k for k, v in arguments.items() if v.is_floating_point() and v.dim() == 3), None)
    if "input_ids" in arguments:
        ids = arguments["input_ids"]
    elif name is not None:
        ids = None
    if ids is None and name is None:
        raise ValueError(f"inputs: expected token ids [B,T], got { {k: list(v.shape) for k, v in arguments.items()} }")
    shape = ids.shape if ids is not None else arguments[name or ""].shape[:2]
    if 0 in shape:
        raise ValueError(f"inputs: the batch or the text is empty (shape {list(shape)}); pass at least one token")
    if encoder.max_length is not None and shape[1] > encoder.max_length:
        raise ValueError(
            f"inputs: {shape[1]} tokens, and the model reads {encoder.max_length}; cut them (truncation=True, "
            f"max_length={encoder.max_length}), or pass the text itself to an Explainer, which cuts it and says so"
        )
    table = model.get_submodule(encoder.embedding) if encoder.embedding else None
    padding = _padding(model, table)
    mask = _mask(arguments, shape, ids, padding)
    special = writing.special(inputs if encoded is None else encoded.encoding, ids, mask, tokenizer)
    texts = writing.texts(inputs if encoded is None else encoded.encoding, ids, mask, special, tokenizer, encoded)
    if bool((special | ~mask).all(1).any()):
        empty = (special | ~mask).all(1).nonzero().flatten().tolist()
        raise ValueError(f"inputs: input {empty} is empty: it holds special tokens only; pass text with a word in it")
    out = Inputs(
        call=arguments,
        vocabulary=getattr(table, "num_embeddings", None),
        ids=ids,
        embeds=name if ids is None else None,
        mask=mask,
        special=special,
        texts=texts,
        shown=None,
        normalisation=None,
        tokenizer=tokenizer,
        padding=padding,
    )
    if ids is not None:
        out.check_ids(ids, "inputs")
    return out


def _padding(model: nn.Module, table: Any) -> int | None:
    """The padding id, from a config inside the model or its word embedding."""
    told = (getattr(getattr(module, "config", None), "pad_token_id", None) for module in model.modules())
    found = next((value for value in told if isinstance(value, int)), getattr(table, "padding_idx", None))
    return None if found is None else int(found)


def _mask(arguments: dict[str, Tensor], shape: Sequence[int], ids: Tensor | None, padding: int | None) -> Tensor:
    given = arguments.get("attention_mask")
    device = next(iter(arguments.values())).device
    if given is None:
        if ids is not None and padding is not None and bool((ids == padding).any()):
            warn(
                f"inputs hold the padding id {padding} and no attention_mask, so the model reads padding as text; pass "
                "the tokenizer's attention_mask with them"
            )
        return torch.ones(tuple(shape), dtype=torch.bool, device=device)
    if given.shape != torch.Size(shape):
        raise ValueError(f"inputs: expected attention_mask {list(shape)}, got {list(given.shape)}")
    mask = given != 0
    if not bool(mask.any(1).all()):
        empty = (~mask.any(1)).nonzero().flatten().tolist()
        raise ValueError(f"inputs: the attention_mask of input {empty} is all padding; leave these inputs out")
    return mask
