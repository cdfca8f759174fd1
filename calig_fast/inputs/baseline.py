"""The baseline x', the input that x is compared with."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import as_tensor, kind, shown
from .._utils.host_copies import uploaded
from .prepare import Inputs

TEXT = ("pad", "mask", "unk", "zero_embedding", "zeros")
IMAGE = ("blur", "mean", "black", "zeros")
BLUR = 10 / 112  # standard deviation over the shorter side: the sigma at which paths were measured to be smooth
BLURS = "blur:"  # with a standard deviation of as many pixels
WIDTHS = 0.1, 1e4  # of a blur; a narrower one is the image itself
Lookup = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Baseline:
    """The form in which the baseline enters the model.

    Args:
        name: the requested baseline, "ids", "embeddings" or "pixels" for the caller's own.
        call: the model's arguments for the baseline; None where a zero hidden state stands at every layer instead.
        words: turns word embeddings [N,T,E] into the baseline's, given the embedding as a function of ids [N,T]; None
            for images. Ids, positions, segments and mask stay the input's own.
        ids: [B,T] the baseline as token ids, or None where it is none of ids.
    """

    name: str
    call: dict[str, Tensor] | None
    words: Callable[[Tensor, Lookup], Tensor] | None = None
    ids: Tensor | None = None


def several(baselines: Any) -> Any:
    """Several baselines as a tuple, and one as it is.

    Args:
        baselines: a list or tuple of baselines, or one.

    Raises:
        ValueError: none, or numbers alone.
    """
    if not isinstance(baselines, list | tuple):
        return baselines
    if not baselines:
        raise ValueError("baselines: expected at least one baseline, got none; leave it out for the default")
    if all(isinstance(one, Real) and not isinstance(one, bool) for one in baselines):
        raise ValueError(
            f"baselines: {shown(baselines)} may be the numbers of one baseline, or several baselines; pass the numbers "
            "of one as a tensor, and each of several as a tensor or a name"
        )
    return tuple(baselines)


@contextlib.contextmanager
def at_place(place: int, count: int) -> Iterator[None]:
    """The errors of one of several baselines, with its place in the list.

    Args:
        place: from 0 on.
        count: of the baselines.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        if count == 1 or not str(error).startswith("baselines:"):
            raise
        raise type(error)(f"baselines[{place}]:{str(error).removeprefix('baselines:')}") from error


def make_baselines(baselines: Any, inputs: Inputs) -> tuple[Baseline, ...]:
    """The baselines for a batch, one or several; see `make_baseline` and `several`."""
    each = baselines if isinstance(baselines, tuple) else (baselines,)
    made = []
    for place, one in enumerate(each):
        with at_place(place, len(each)):
            made.append(make_baseline(one, inputs))
    return tuple(made)


def make_baseline(baselines: Any, inputs: Inputs) -> Baseline:
    """The baseline for a batch.

    Args:
        baselines: None (pad for text, blur for images), a name, an id, or a tensor: ids [T] or [B,T], embeddings [E],
            [T,E] or [B,T,E], pixels [C,H,W] or [B,C,H,W].
        inputs: the explained inputs.

    Raises:
        ValueError: an unknown name, a name that needs what is not known, a tensor of another shape or with NaN.
        TypeError: something else.
    """
    names = TEXT if inputs.ids is not None or inputs.embeds is not None else IMAGE
    if baselines is None:  # features without words have no padding id
        baselines = "zero_embedding" if inputs.embeds is not None and inputs.vocabulary is None else names[0]
    baselines = given_baseline(baselines)
    if isinstance(baselines, str) and not is_name(baselines, names):
        kind = "text" if names is TEXT else "images"
        raise ValueError(f"baselines: {shown(baselines)} is not one of {names} for {kind}, nor a tensor of your own")
    if isinstance(baselines, str) and baselines == "zeros":
        return Baseline("zeros", None)
    return _text(baselines, inputs) if names is TEXT else _image(baselines, inputs)


def given_baseline(baselines: Any) -> str | int | float | Tensor:
    """A baseline as one of three kinds: a name, a number or a tensor of numbers.

    Args:
        baselines: a name, a number (also of NumPy), an array, or a tensor.

    Raises:
        TypeError: something else, bools or complex numbers among them.
    """
    item = baselines
    if isinstance(item, bool | np.bool_) or not isinstance(item, str | Real | Tensor | np.ndarray):
        raise TypeError(f"baselines: expected a name, an id, a number or a tensor, got {kind(baselines)}")
    if isinstance(item, str):
        return str(item)
    if isinstance(item, Integral):
        return int(item)
    if isinstance(item, Real):
        return _float(item)
    numbers = as_tensor("baselines", item, "a name, an id, a number or a tensor")
    if numbers.dtype == torch.bool:
        raise TypeError(f"baselines: expected ids, embeddings or pixels, got {kind(baselines)}")
    return numbers.detach()


def is_name(given: str, names: tuple[str, ...]) -> bool:
    """Return True for one of the names, and for a blur of a stated width where "blur" is one.

    Raises:
        ValueError: a width that is no number of pixels.
    """
    if given.startswith(BLURS) and "blur" in names:
        _width(given)
        return True
    return given in names


def take(baselines: Any, inputs: Inputs, rows: slice) -> Any:
    """The baselines of some of the inputs; one that serves them all is left as it is."""
    if isinstance(baselines, tuple):
        taken = []
        for place, one in enumerate(baselines):
            with at_place(place, len(baselines)):
                taken.append(take(one, inputs, rows))
        return tuple(taken)
    if isinstance(baselines, np.ndarray):
        baselines = given_baseline(baselines)
    if not isinstance(baselines, Tensor):
        return baselines
    text = inputs.ids is not None or inputs.embeds is not None
    one_each = 4 if not text else 3 if baselines.is_floating_point() else 2
    if inputs.cut is not None and baselines.shape[-2:] == inputs.call[inputs.pixels[0]].shape[1:]:
        one_each = 3  # patches
    if baselines.dim() != one_each or len(baselines) == 1:
        return baselines
    if len(baselines) != len(inputs):
        raise ValueError(
            f"baselines: expected one baseline for all inputs or one for each of {len(inputs)}, got {len(baselines)}"
        )
    return baselines[rows]


def _text(baselines: Any, inputs: Inputs) -> Baseline:
    shape = inputs.mask.shape
    keep = (inputs.special | ~inputs.mask)[:, :, None]

    def by(name: str, make: Callable[[Tensor, Lookup], Tensor], ids: Tensor | None = None) -> Baseline:
        return Baseline(name, dict(inputs.call), lambda out, look: torch.where(keep, out, make(out, look)), ids)

    if isinstance(baselines, str) and baselines == "zero_embedding":
        return by("zero_embedding", lambda out, look: torch.zeros_like(out))
    if isinstance(baselines, float):
        raise TypeError(f"baselines: expected a name, an id or a tensor for text, got {kind(baselines)}")
    if isinstance(baselines, str | int):
        token = inputs.token_id(baselines) if isinstance(baselines, str) else baselines
        if not -(2**63) <= token < 2**63:
            raise ValueError(f"baselines: expected an id of the vocabulary, got {shown(token)}")
        inputs.check_ids(torch.tensor(token), "baselines")
        return by(
            baselines if isinstance(baselines, str) else "id",
            lambda out, look: look(torch.full(shape, token, device=out.device)),
            None if inputs.ids is None else torch.where(keep[:, :, 0], inputs.ids, token),
        )
    given = baselines
    if given.is_floating_point():
        _check_finite(given)
        return by("embeddings", lambda out, look: _expanded(given.to(out), out.shape))
    ids = _expanded(given.to(torch.int64), shape)
    inputs.check_ids(ids, "baselines")
    # the caller's ids say what stands at special tokens too
    padding = ~inputs.mask[:, :, None]
    own = inputs.ids
    replaced = None if own is None else torch.where(padding[:, :, 0], own, ids.to(own))
    return Baseline(
        "ids", dict(inputs.call), lambda out, look: torch.where(padding, out, look(ids.to(out.device))), replaced
    )


def _image(baselines: Any, inputs: Inputs) -> Baseline:
    name, pixels = inputs.pixels
    if isinstance(baselines, str):
        makers: dict[str, Callable[[Tensor], Tensor]] = {
            "blur": blur,
            "mean": inputs.mean,
            "black": inputs.black,
        }
        if baselines.startswith(BLURS):
            return Baseline(baselines, inputs.with_pixels(blur(pixels, _width(baselines))))
        return Baseline(baselines, inputs.with_pixels(makers[baselines](pixels)))
    value = _float(baselines) if isinstance(baselines, int) else baselines
    given = torch.as_tensor(value, dtype=pixels.dtype, device=pixels.device)
    _check_finite(given)
    if inputs.cut is not None and given.shape[-2:] == inputs.call[name].shape[1:]:
        return Baseline("pixels", {**inputs.call, name: _expanded(given, inputs.call[name].shape).clone()})
    return Baseline("pixels", inputs.with_pixels(_expanded(given, pixels.shape).clone()))


def _width(name: str) -> float:
    """The standard deviation in pixels of a blur with its width, such as "blur:4"."""
    try:
        width = float(name.removeprefix(BLURS))
    except ValueError:
        width = math.nan
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(
            f'baselines: expected "blur:" and its standard deviation, {WIDTHS[0]:g} to {WIDTHS[1]:g} pixels, as in '
            f'"blur:4"; got {shown(name)}'
        )
    return width


def blur(pixels: Tensor, sigma: float | None = None) -> Tensor:
    """Gaussian blur of [B,C,H,W], edges reflected.

    Args:
        pixels: of the images.
        sigma: standard deviation in pixels, None for 10/112 of the shorter side.
    """
    sigma = BLUR * min(pixels.shape[-2:]) if sigma is None else sigma
    radius = max(1, min(round(3 * sigma), min(pixels.shape[-2:]) - 1))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = uploaded((kernel / kernel.sum()).to(pixels.dtype), pixels.device)
    channels = pixels.shape[1]
    out = torch.nn.functional.pad(pixels, (radius,) * 4, mode="reflect")
    out = torch.nn.functional.conv2d(out, kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return torch.nn.functional.conv2d(out, kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


def _float(value: Any) -> float:
    """A number as a float, infinite where no float holds it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _check_finite(given: Tensor) -> None:
    if not bool(torch.isfinite(given).all()):
        raise ValueError("baselines: the baseline holds NaN or infinity")


def _expanded(given: Tensor, shape: torch.Size) -> Tensor:
    try:
        return given.expand(shape)
    except RuntimeError as error:
        raise ValueError(f"baselines: expected a tensor that fits {list(shape)}, got {list(given.shape)}") from error
