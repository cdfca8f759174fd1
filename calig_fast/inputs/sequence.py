"""Sequences: text, ids and features as the model's arguments, with mask, special tokens and names of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.host_copies import fetched, sent
from ..model.encoder import Encoder
from ..results.tokens import Text
from ..results.windows import Windows
from . import mask as masks
from . import rows, seams
from . import text as writing
from .arguments import Arguments, Forward, dense, of_mapping, usable, with_mask
from .image_picture import is_image
from .windows import CUT, Long, check_stride, cut, most_positions, of_windows, whole_texts

_INDICES = {torch.int32, torch.int64}  # dtypes that an embedding takes
_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


@dataclass(frozen=True)
class Tokens:
    """A batch of sequences; see `Inputs` for each field."""

    call: dict[str, Any]
    vocabulary: int | None
    ids: Tensor | None
    embeds: str | None
    mask: Tensor
    special: Tensor
    texts: tuple[Text, ...]
    tokenizer: Any
    padding: int | None
    content: str
    windows: Windows | None = None


def tokens(inputs: Any, model: nn.Module, encoder: Encoder, tokenizer: Any, long: Long = CUT) -> Tokens:
    """Turn text, ids, encodings or features into what the model takes.

    Args:
        inputs: see `read`; containers are lists.
        model: the module that computes.
        encoder: where its blocks are and what it reads.
        tokenizer: tokenizer, or None for the one in the model's folder.
        long: the treatment of texts longer than the model reads.

    Raises:
        ValueError, TypeError: see `read`.
    """
    tokenizer = writing.local_tokenizer(model) if tokenizer is None else tokenizer
    if long.slides and encoder.max_length is None:
        encoder = replace(encoder, max_length=most_positions(model))
    seams.check_overflow(inputs)
    given = rows.merged(inputs, _filling(tokenizer, padding_id(model, encoder)))
    if is_image(given) or (isinstance(given, list | tuple) and any(map(is_image, given))):
        raise TypeError("inputs: the model reads integer ids [B,T] or text, got a picture")
    if isinstance(given, str | Sequence):
        return _written(given, model, encoder, tokenizer, long)
    if isinstance(given, Tensor | np.ndarray):
        arguments = _unnamed(given, model, encoder)
    elif rows.is_mapping(given):
        arguments = of_mapping(given, model, given.made if isinstance(given, rows.Collated) else frozenset())
    else:
        raise TypeError(
            "inputs: expected text, a mapping of tensors, a tensor of ids or pixels, or PIL images, got "
            f"{type(given).__name__}"
        )
    source = given if rows.is_mapping(given) else arguments.tensors[arguments.content or ""]
    if long.slides and _too_long(arguments, encoder):
        return _windows(arguments, source, model, encoder, tokenizer=tokenizer, long=long)
    arguments = _checked(arguments, model, encoder)
    batch = _tokens(arguments, source, model, encoder, tokenizer=tokenizer)
    listed = rows.is_mapping(given) and not Forward(model).needs(rows.OWNERS)
    mapping = dict(given).get(rows.OWNERS) if listed else None
    if mapping is None:
        check_stride(long)
    of = seams.owners(mapping, len(batch.mask))
    if of is None:
        return batch
    content = arguments.tensors[batch.content]
    read = seams.read(source, content, batch.mask, batch.special, [text.tokens for text in batch.texts])
    return replace(batch, windows=seams.joined(read, of, tokenizer, long.stride))


def padding_id(model: nn.Module, encoder: Encoder) -> int | None:
    """The padding id, as a config inside the model or its word embedding tells it."""
    config_ids = (getattr(getattr(module, "config", None), "pad_token_id", None) for module in model.modules())
    table = getattr(_table(model, encoder), "padding_idx", None)
    padding = next((value for value in config_ids if isinstance(value, int)), table)
    return None if padding is None else int(padding)


def check_ids(ids: Tensor, vocabulary: int | None, name: str) -> None:
    """Raise where ids are outside a vocabulary.

    Raises:
        ValueError: naming the smallest and the largest id.
    """
    if vocabulary is None or not ids.numel():
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise ValueError(
            f"{name}: ids from {low} to {high}, and the model's vocabulary has {vocabulary}; ids of another tokenizer "
            "do not fit the model: use the tokenizer the model was trained with"
        )


def _written(given: Any, model: nn.Module, encoder: Encoder, tokenizer: Any, long: Long) -> Tokens:
    """Text; padded on the right where the model reads the padding on the tokenizer's side otherwise."""
    device, padding = next(model.parameters()).device, padding_id(model, encoder)
    check_stride(long)
    for side in (None, "right"):
        encoded = writing.encode(given, tokenizer, encoder.max_length, padding or 0, side, whole=long.slides)
        encoding = {n: sent(v, device) if isinstance(v, Tensor) else v for n, v in encoded.encoding.items()}
        arguments = of_mapping(encoding, model, frozenset(encoding))
        if long.slides and encoded.longest > encoded.limit:
            return _windows(
                arguments, encoded.encoding, model, encoder, tokenizer=tokenizer, long=long, encoded=encoded
            )
        arguments = _checked(arguments, model, encoder)
        real = encoding.get("attention_mask")
        if (
            side is not None
            or not isinstance(real, Tensor)
            or bool(real[:, 0].all())
            or "position_ids" in arguments.tensors
        ):
            break
        if arguments.aside is None and masks.Effect(model, arguments).ignores(real != 0, "left"):
            break
    return _tokens(arguments, encoded.encoding, model, encoder, tokenizer=tokenizer, encoded=encoded)


def _too_long(arguments: Arguments, encoder: Encoder) -> bool:
    main = None if arguments.content is None else arguments.tensors[arguments.content]
    return main is not None and main.dim() > 1 and encoder.max_length is not None and main.shape[1] > encoder.max_length


def _windows(
    arguments: Arguments,
    source: Any,
    model: nn.Module,
    encoder: Encoder,
    *,
    tokenizer: Any,
    long: Long,
    encoded: writing.Encoded | None = None,
) -> Tokens:
    """The windows of texts of which one is longer than the model reads."""
    whole = whole_texts(arguments, source, tokenizer, encoded)
    _check_content(whole.special, whole.mask)
    limit = (encoder.max_length or 0) if encoded is None else encoded.limit
    fill = _filling(tokenizer, padding_id(model, encoder))
    left = getattr(tokenizer, "truncation_side", "right") == "left"
    arguments, windows = cut(arguments, whole, limit, long, fill=fill, left=left)
    return _tokens(_checked(arguments, model, encoder), {}, model, encoder, tokenizer=tokenizer, windows=windows)


def _filling(tokenizer: Any, padding: int | None) -> int:
    """The id that pads."""
    return next((i for i in (getattr(tokenizer, "pad_token_id", None), padding) if isinstance(i, int)), 0)


def _check_content(special: Tensor, mask: Tensor) -> None:
    """Raise where an input holds no content.

    Raises:
        ValueError: naming it.
    """
    if bool((special | ~mask).all(1).any()):
        empty = (special | ~mask).all(1).nonzero().flatten().tolist()
        raise ValueError(f"inputs: input {empty} is empty: it holds special tokens only; pass text with a word in it")


def _unnamed(given: Any, model: nn.Module, encoder: Encoder) -> Arguments:
    """A bare tensor or array: ids, or the features of a model that has no words."""
    if isinstance(given, np.ndarray):
        given = sent(torch.from_numpy(given), next(model.parameters()).device)
    try:
        dense("the tensor", given)
    except TypeError as error:
        raise TypeError(f"inputs: {error}") from error
    forward = Forward(model)
    words = encoder.embedding is not None and (forward.takes("input_ids") or given.dim() > 3)
    if given.is_floating_point() and (words or given.dim() not in {2, 3}):
        raise TypeError(
            f"inputs: the model reads integer ids [B,T], got a {given.dtype} tensor {list(given.shape)}; pass ids, "
            'text with a tokenizer, or embeddings by name, {"inputs_embeds": embeddings}'
        )
    wanted = 3 if given.is_floating_point() else 2
    batched = given if given.dim() == wanted else given[None]
    if batched.dim() != wanted:
        raise ValueError(
            f"inputs: expected a tensor [T] or [B,T], got {list(given.shape)}; of several choices [B,C,T] explain "
            "one a time, with a model that takes one"
        )
    name = "input_ids" if "input_ids" in forward.parameters else ""
    forward.check([name])
    return Arguments({name: batched}, name)


def _checked(arguments: Arguments, model: nn.Module, encoder: Encoder) -> Arguments:
    """The arguments with ids of a dtype that an embedding takes.

    Raises:
        ValueError: no ids and no features, an empty batch, more tokens than the model reads, ids outside its
            vocabulary, tensors on another device.
        TypeError: ids that are no integers.
    """
    call, name = _signed(usable(arguments.tensors, model)), arguments.content
    fetched(*(v for v in call.values() if not v.is_floating_point() or v.dim() < 3))
    if name is None or call[name].dim() < 2:
        raise ValueError(f"inputs: expected token ids [B,T], got { {k: list(v.shape) for k, v in call.items()} }")
    main = call[name]
    features = main.is_floating_point() and main.dim() == 3 and name != "input_ids"
    if main.dtype == torch.bool or (main.is_floating_point() and not features):
        raise TypeError(
            f"inputs: expected token ids [B,T] of integers, got {name or 'a tensor'} {list(main.shape)} of "
            f"{main.dtype}; pass ids.long()"
        )
    if not features and (main.dim() != 2 or _has_choices(model)):
        raise ValueError(
            f"inputs: expected token ids [B,T], got {name or 'a tensor'} {list(main.shape)} for "
            f"{type(model).__name__}; of several choices of one input explain one at a time, with a module whose "
            "forward takes one choice a row and returns its logit"
        )
    shape = main.shape[:2]
    if 0 in shape:
        raise ValueError(f"inputs: the batch or the text is empty (shape {list(shape)}); pass at least one token")
    if encoder.max_length is not None and shape[1] > encoder.max_length:
        raise ValueError(
            f"inputs: {shape[1]} tokens, and the model reads {encoder.max_length}; cut them (truncation=True, "
            f'max_length={encoder.max_length}), pass long_texts="windows", which explains all of them, or pass the '
            "text itself to an Explainer, which cuts it and says so"
        )
    if features:
        if not bool(torch.isfinite(main).all()):
            raise ValueError(f"inputs: {name or 'the tensor'} holds NaN or infinity")
        return replace(arguments, tensors=call)
    check_ids(main, _vocabulary(model, encoder), "inputs")
    segments = getattr(getattr(model, "config", None), "type_vocab_size", None)
    if "token_type_ids" in call and isinstance(segments, int) and segments > 0:
        kinds = call["token_type_ids"]
        if kinds.shape != shape or int(kinds.min()) < 0 or int(kinds.max()) >= segments:
            raise ValueError(
                f"inputs: expected token_type_ids {list(shape)} from 0 to {segments - 1}, got {list(kinds.shape)} from "
                f"{int(kinds.min())} to {int(kinds.max())}"
            )
    indices = [n for n in (name, "token_type_ids", "position_ids") if n in call]
    for beside in indices:
        if call[beside].is_floating_point() or call[beside].dtype == torch.bool:
            raise TypeError(f"inputs: expected {beside} of integers, got {call[beside].dtype}; pass {beside}.long()")
    narrow = {n for n in indices if call[n].dtype not in _INDICES}
    return replace(arguments, tensors={n: v.long() if n in narrow else v for n, v in call.items()})


def _signed(call: dict[str, Tensor]) -> dict[str, Tensor]:
    """Unsigned ints, which few operations take, as int64."""
    return {name: v.long() if v.dtype in _UNSIGNED else v for name, v in call.items()}


def _tokens(
    arguments: Arguments,
    source: Any,
    model: nn.Module,
    encoder: Encoder,
    *,
    tokenizer: Any,
    encoded: writing.Encoded | None = None,
    windows: Windows | None = None,
) -> Tokens:
    name = arguments.content or ""
    main = arguments.tensors[name]
    ids, padding = None if main.is_floating_point() else main, padding_id(model, encoder)
    own = not type(model).__module__.startswith("transformers.")
    if arguments.aside is not None:
        arguments, mask = _with_own_mask(arguments, model)
    else:
        mask = masks.real_tokens(model, arguments, main.shape[:2], padding, known=not own)
    if "position_ids" not in arguments.tensors and not bool(mask[:, 0].all()):
        masks.check_alone(masks.Effect(model, arguments), mask)
    if windows is None:
        special = writing.special(source, ids, mask, tokenizer)
        texts = writing.texts(source, ids, mask, special, tokenizer=tokenizer, encoded=encoded)
    else:
        special, texts = of_windows(windows, mask)
    _check_content(special, mask)
    return Tokens(
        call={**arguments.tensors, **arguments.fixed},
        vocabulary=_vocabulary(model, encoder) if ids is not None or name == "inputs_embeds" else None,
        ids=ids,
        embeds=name if ids is None else None,
        mask=mask,
        special=special,
        texts=texts,
        tokenizer=tokenizer,
        padding=padding,
        content=name,
        windows=windows,
    )


def _with_own_mask(arguments: Arguments, model: nn.Module) -> tuple[Arguments, Tensor]:
    """Our mask under the model's name for it, and real tokens [B,T].

    Raises:
        ValueError: padding that the model would read.
    """
    device = arguments.tensors[arguments.content or ""].device
    given = torch.ones(0) if arguments.aside is None else sent(arguments.aside, device)
    real, forward = given != 0, Forward(model)
    name, whole = forward.mask(), bool(real.all())
    if whole and (name is None or not forward.needs(name)):
        return replace(arguments, aside=None), real
    effect = masks.Effect(model, arguments)
    if name is not None:
        value = masks.fitting(effect, name, given)
        if value is None and whole:  # the name is all there is to go by
            value = torch.zeros_like(given) if "pad" in name.lower() else given
        if value is not None:
            return with_mask(arguments, name, value), real
    if effect.ignores(real, "padding id"):
        return replace(arguments, aside=None), real
    raise ValueError(
        f"inputs: inputs of different lengths need padding, and the model's forward heeds no mask (it takes "
        f"{sorted(forward.parameters)}), so it would read padding as text; explain them one at a time"
    )


def _has_choices(model: nn.Module) -> bool:
    return type(model).__name__.endswith("ForMultipleChoice")


def _table(model: nn.Module, encoder: Encoder) -> Any:
    return model.get_submodule(encoder.embedding) if encoder.embedding else None


def _vocabulary(model: nn.Module, encoder: Encoder) -> int | None:
    return getattr(_table(model, encoder), "num_embeddings", None)
