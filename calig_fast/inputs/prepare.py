"""Conversion of the user's inputs to the model's arguments, with mask, special tokens, and names for the tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..model.call import row_count, rows_of
from ..model.encoder import Encoder
from ..results.tokens import Grid, Text
from ..results.windows import Windows
from . import image as pictures
from . import image_patches as patches
from . import rows, sequence
from .arguments import of_mapping, usable
from .image_cut import PIXELS, Cut, are_patches, channels_read, cut_of
from .image_layout import seen_grid, seen_in_order
from .image_processor import Normalisation
from .windows import CUT, Long, check_stride


@dataclass(frozen=True)
class Inputs:
    """A batch, ready for the model.

    Args:
        call: the model's arguments: tensors [B,...], and flags and numbers that every pass gets; a sole unnamed one
            stands under "".
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
        cut: the places of patches that came cut already, or None.
        content: name of the argument that carries ids or features, None for images.
        windows: the texts that the rows are windows of, or None where each row is a text.
    """

    call: dict[str, Any]
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
    cut: Cut | None = None
    content: str | None = None
    windows: Windows | None = None

    def __len__(self) -> int:
        return row_count(self.call)

    def take(self, rows: slice) -> Inputs:
        """Some of the inputs."""
        return replace(
            self,
            call=rows_of(self.call, rows),
            ids=None if self.ids is None else self.ids[rows],
            mask=self.mask[rows],
            special=self.special[rows],
            texts=None if self.texts is None else self.texts[rows],
            shown=None if self.shown is None else self.shown[rows],
        )

    @property
    def ids_name(self) -> str:
        """Name of the argument that carries the token ids."""
        if self.ids is None or self.content is None:
            raise RuntimeError("the inputs hold no token ids")
        return self.content

    @property
    def pixels(self) -> tuple[str, Tensor]:
        """The name of the pixel argument, and the pixels [B,C,H,W]."""
        if self.cut is not None:
            return PIXELS, self.cut.pictures(self.call[PIXELS])
        floats = [(k, v) for k, v in self.call.items() if isinstance(v, Tensor) and v.is_floating_point()]
        images = [(k, v) for k, v in floats if v.dim() == 4]
        return next((pair for pair in images if pair[0] == "pixel_values"), images[0])

    def with_pixels(self, pixels: Tensor) -> dict[str, Any]:
        """The arguments with other pixels [B,C,H,W]."""
        name, _ = self.pixels
        return {**self.call, name: pixels if self.cut is None else self.cut.patches(pixels, self.call[name])}

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
        number = getattr(self.tokenizer, f"{name}_token_id", None)
        if number is None and name == "pad":
            number = self.padding
        if number is None:
            has = "the tokenizer has no such token" if self.tokenizer is not None else "no tokenizer was given"
            raise ValueError(
                f'baselines: "{name}" needs the id of the {name} token, and {has}; pass processor=, an id, or '
                'baselines="zero_embedding"'
            )
        return int(number)

    def check_ids(self, ids: Tensor, name: str) -> None:
        """Raise where ids are outside the model's vocabulary.

        Raises:
            ValueError: naming the largest id.
        """
        sequence.check_ids(ids, self.vocabulary, name)

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
        if seen is not None and seen.tokens == tokens:
            return seen
        if self.cut is not None:
            return Grid(1, tokens, 0)
        return patches.grid(self.pixels[1], encoder, tokens, self.convolution)


def read(inputs: Any, model: nn.Module, encoder: Encoder, processor: Any, long: Long = CUT) -> Inputs:
    """Convert the user's inputs to the model's arguments.

    Args:
        inputs: text (str, a pair as a tuple, or a sequence, column, array or iterator of these), a mapping of tensors
            and plain values or a list of them, ids [T] or [B,T], features [T,F] or [B,T,F], pixels [C,H,W] or
            [B,C,H,W], a picture (PIL image, path, array) or several.
        model: the module that computes.
        encoder: its blocks and its inputs.
        processor: tokenizer or image processor, or None.
        long: the treatment of texts longer than the model reads.

    Raises:
        ValueError: nothing to explain, text too long as ids, ids outside the vocabulary, a mask without real tokens,
            tensors on another device than the model.
        TypeError: something that is none of the above.
    """
    inputs = rows.gathered(inputs)
    if encoder.modality == "text":
        token_inputs = sequence.tokens(inputs, model, encoder, processor, long)
        return Inputs(**vars(token_inputs), shown=None, normalisation=None)
    check_stride(long)
    inputs = rows.pictures_joined(inputs)
    if rows.is_mapping(inputs):
        given = of_mapping(inputs, model)
        call = {**usable(given.tensors, model), **given.fixed}
    else:
        made = pictures.arguments(inputs, model, processor, patches.patch_convolution(model, encoder))
        call = dict(usable(made, model))
    if are_patches(call):
        return _cut_images(call, model, encoder, processor)
    pictures.refuse_videos(call)
    return _images(call, inputs, model, encoder, processor)


def _images(arguments: dict[str, Any], given: Any, model: nn.Module, encoder: Encoder, processor: Any) -> Inputs:
    convolution = patches.patch_convolution(model, encoder)
    name, call = pictures.checked(arguments, model, convolution)
    normalisation = pictures.normalisation(processor, call[name], encoder)
    pictures.warn_unnormalised(given, call[name], normalisation)
    batch = _of_pictures(call, call[name], normalisation)
    return placed(replace(batch, convolution=convolution), model, encoder)


def _cut_images(call: dict[str, Any], model: nn.Module, encoder: Encoder, processor: Any) -> Inputs:
    cut = cut_of(call, channels_read(model))
    pixels = cut.pictures(call[PIXELS])
    batch = _of_pictures(call, pixels, pictures.normalisation(processor, pixels, encoder))
    return placed(replace(batch, cut=cut), model, encoder)


def _of_pictures(call: dict[str, Any], pixels: Tensor, normalisation: Normalisation | None) -> Inputs:
    """Inputs that hold pictures [B,C,H,W] and no text."""
    empty = torch.zeros(len(pixels), 0, dtype=torch.bool, device=pixels.device)
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
    )


def placed(batch: Inputs, model: nn.Module, encoder: Encoder) -> Inputs:
    """The inputs with the places of the patches that the first block is seen to receive; texts are left as they are."""
    if batch.texts is not None or not encoder.blocks:
        return batch
    if batch.cut is not None:
        return replace(batch, seen=seen_in_order(model, encoder, batch.call, PIXELS, batch.cut.grid))
    return replace(batch, seen=seen_grid(model, encoder, batch.call, batch.pixels[0], batch.convolution))
